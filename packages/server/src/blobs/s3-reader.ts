/** A bucket as a tool sees it: only to look, with credentials that may do no more. */

import type { BlobReader } from './blob-reader.ts'
import { sentenceOf } from './s3-probe.ts'
import { readMark, readObject } from './s3-read.ts'
import { createS3Store, type S3Place, s3Limits } from './s3-store.ts'

/** @throws Error with a sentence that names the bucket and what to do, where it cannot be read. */
export async function openS3Reader(place: S3Place): Promise<BlobReader> {
  const store = createS3Store(place, s3Limits)
  try {
    await readMark(store, place.prefix)
  } catch (error) {
    store.destroy()
    throw new Error(sentenceOf(error, place), { cause: error })
  }
  return {
    read: (id, range) => readObject(store, id, range),
    readMark: () => readMark(store, place.prefix),
    async close() {
      store.destroy()
    },
  }
}
