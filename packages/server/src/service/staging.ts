/** Writes bytes as a loose blob, and drops it again unless a file comes to hold it. */

import { BlobError } from '../blobs/blob-error.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import { createEncodingWatch, type TextEncoding } from '../content-rules/text-encoding.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import { fileTooLarge } from './errors.ts'
import type { Ids } from './ids.ts'
import type { Removal } from './removal.ts'

/** How long an upload may take, in seconds, before the sweep believes its process is gone. */
const stagingSeconds = 24 * 3600

/** Content that is durable but belongs to no file yet; disposing of it removes the bytes. */
export interface StagedContent extends AsyncDisposable {
  readonly blob_id: string
  readonly bytes: number
  readonly sha256: string
  readonly encoding: TextEncoding
  /** Says that a file holds the bytes now. */
  keep(): void
}

export interface Staging {
  /**
   * @throws ServiceError `file_too_large` at the first byte over `maxBytes`; BlobError; whatever
   *   `source` throws.
   */
  stage(source: AsyncIterable<Uint8Array>, options: { maxBytes: number }): Promise<StagedContent>
}

export interface StagingNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly clock: Clock
  readonly ids: Ids
  readonly removal: Removal
}

export function createStaging({ metadata, blobs, clock, ids, removal }: StagingNeeds): Staging {
  return {
    async stage(source, { maxBytes }) {
      const blob_id = ids.blob()
      const encoding = createEncodingWatch()
      await metadata.addLooseBlob({ blob_id, sweep_after: clock.now() + stagingSeconds })
      try {
        const written = await blobs.write(blob_id, encoding.watch(source), { maxBytes })
        let kept = false
        return {
          blob_id,
          ...written,
          encoding: encoding.result(),
          keep() {
            kept = true
          },
          async [Symbol.asyncDispose]() {
            if (!kept) await removal.discard(blob_id)
          },
        }
      } catch (error) {
        await removal.discard(blob_id)
        if (error instanceof BlobError && error.code === 'too-large') throw fileTooLarge(maxBytes)
        throw error
      }
    },
  }
}
