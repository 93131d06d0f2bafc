/** Ids for new blobs, each listed as loose before anything can be written under it. */

import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import type { Ids } from './ids.ts'
import type { Presence } from './presence.ts'

/** Seconds after which the sweep takes what no upload of this server is writing any more. */
const stagingSeconds = 24 * 3600

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
  readonly presence: Pick<Presence, 'server_id' | 'lapses'>
}

export function createBlobIds({ metadata, clock, ids, presence }: BlobIdsNeeds): BlobIds {
  let reserve: string[] = []
  let usableUntil = 0
  let lapses = 0
  let filling: Promise<void> | undefined

  async function fill(): Promise<void> {
    const now = clock.now()
    const blob_ids = Array.from({ length: reserved }, () => ids.blob())
    lapses = presence.lapses()
    await metadata.addLooseBlobs({
      ...{ blob_ids, sweep_after: now + stagingSeconds },
      server_id: presence.server_id,
    })
    reserve = blob_ids
    usableUntil = now + reservedSeconds
  }

  return {
    async next() {
      for (;;) {
        // After a lapse the sweep has had them all.
        const isUsable = clock.now() < usableUntil && presence.lapses() === lapses
        const id = isUsable ? reserve.shift() : undefined
        if (id !== undefined) return id
        filling ??= fill().finally(() => {
          filling = undefined
        })
        await filling
      }
    },
  }
}
