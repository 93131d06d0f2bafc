/** Removes the bytes of blobs that nothing holds: the bytes first, then their row. */

import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Log } from './log.ts'
import type { Measures } from './measures.ts'

export interface Removal {
  /**
   * Removes taken blobs. It never rejects: what fails is logged and stays listed as loose, so
   * that the sweep tries again.
   */
  remove(blobs: readonly string[]): Promise<void>
  /** Drops a blob that no file came to hold; if one did after all, it stays. Never rejects. */
  discard(blob: string): Promise<void>
  /** Resolves once all that was begun has ended. */
  settled(): Promise<void>
}

export interface RemovalNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly log: Log
  readonly measures: Measures
}

export function createRemoval({ metadata, blobs, log, measures }: RemovalNeeds): Removal {
  const running = new Set<Promise<void>>()

  async function removeOne(blob_id: string): Promise<void> {
    await blobs.delete(blob_id)
    await metadata.forgetLooseBlob({ blob_id })
    measures.add('removed_blobs')
  }

  /** Takes the blob first: its file may be committed although the commit seemed to fail. */
  async function discardOne(blob_id: string): Promise<void> {
    if (await metadata.takeLooseBlob({ blob_id })) await removeOne(blob_id)
  }

  function track(blob: string, work: Promise<void>): Promise<void> {
    const tracked = work
      .catch((error: unknown) => {
        log.error({ err: error, blob }, 'a loose blob was not removed; the sweep will try again')
      })
      .finally(() => running.delete(tracked))
    running.add(tracked)
    return tracked
  }

  return {
    async remove(ids) {
      await Promise.all(ids.map((blob) => track(blob, removeOne(blob))))
    },
    discard: (blob) => track(blob, discardOne(blob)),
    async settled() {
      await Promise.all(running)
    },
  }
}
