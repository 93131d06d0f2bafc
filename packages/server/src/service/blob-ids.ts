/** Ids for new blobs, each listed as loose before anything can be written under it. */

import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import type { Ids } from './ids.ts'

/** Seconds after which the sweep takes what no upload of this process is writing any more. */
export const stagingSeconds = 24 * 3600

/** Listed together, so that most uploads wait for no commit before their first byte is written. */
const reserved = 32

/** Seconds for which an id is kept for an upload; the sweep has those that were not used. */
const reservedSeconds = 3600

export interface BlobIds {
  next(): Promise<string>
}

export interface BlobIdsNeeds {
  readonly metadata: MetadataStore
  readonly clock: Clock
  readonly ids: Ids
}

export function createBlobIds({ metadata, clock, ids }: BlobIdsNeeds): BlobIds {
  let reserve: string[] = []
  let usableUntil = 0
  let filling: Promise<void> | undefined

  async function fill(): Promise<void> {
    const now = clock.now()
    const blob_ids = Array.from({ length: reserved }, () => ids.blob())
    await metadata.addLooseBlobs({ blob_ids, sweep_after: now + stagingSeconds })
    reserve = blob_ids
    usableUntil = now + reservedSeconds
  }

  return {
    async next() {
      for (;;) {
        const id = clock.now() < usableUntil ? reserve.shift() : undefined
        if (id !== undefined) return id
        filling ??= fill().finally(() => {
          filling = undefined
        })
        await filling
      }
    },
  }
}
