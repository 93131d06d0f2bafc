/** The timed work that keeps the promises of time: expired files go, and bytes nothing holds. */

import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import type { Removal } from './removal.ts'
import type { Staging } from './staging.ts'

/** How long a page may still begin after a deleted file, in seconds. */
const rememberDeletedSeconds = 24 * 3600

/** Rows of one transaction, so that requests never wait long for the sweep. */
const batch = 200

export interface Sweep {
  /** Does all that is due, in small steps; `signal` ends it between two of them. */
  run(signal: AbortSignal): Promise<void>
}

export interface SweepNeeds {
  readonly metadata: MetadataStore
  readonly blobs: Pick<BlobStore, 'tidy'>
  readonly removal: Removal
  readonly staging: Pick<Staging, 'underWay'>
  readonly clock: Clock
}

export function createSweep({ metadata, blobs, removal, staging, clock }: SweepNeeds): Sweep {
  async function deleteExpiredFiles(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const deleted = await metadata.deleteExpiredFiles({ now: clock.now(), limit: batch })
      if (deleted < batch) return
    }
  }

  async function removeLooseBlobs(signal: AbortSignal): Promise<void> {
    let after_id = ''
    while (!signal.aborted) {
      const taken = await metadata.takeSweepableBlobs({
        now: clock.now(),
        after_id,
        limit: batch,
        except: staging.underWay(),
      })
      await removal.remove(taken)
      if (taken.length < batch) return
      after_id = taken.at(-1) ?? ''
    }
  }

  return {
    async run(signal) {
      await deleteExpiredFiles(signal)
      await removeLooseBlobs(signal)
      await metadata.forgetDeletedFiles({ deleted_before: clock.now() - rememberDeletedSeconds })
      await blobs.tidy()
    },
  }
}
