/** The timed work that keeps the promises of time: expired files go, and bytes nothing holds. */

import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { Measures } from './measures.ts'
import type { Removal } from './removal.ts'
import type { Staging } from './staging.ts'
import type { StoreBinding } from './store-binding.ts'

/** How long a page may still begin after a deleted file, in seconds. */
const rememberDeletedSeconds = 24 * 3600

/** How long an Upload that ended can still be asked for after its time was over, in seconds. */
const rememberUploadsSeconds = 24 * 3600

/** Rows of one transaction, so that requests never wait long for the sweep. */
const batch = 200

/** An orphan is one if it is seen again after an hour, and removed after a further day. */
const secondLookSeconds = 3600
export const quarantineSeconds = 24 * 3600

/** More orphans among the blobs of one part mean that rows were lost: then nothing is touched. */
const tolerated = { orphans: 10, share: 0.01 }

/** @param orphans among so many blobs of one part. */
export function areTooMany(orphans: number, blobs: number): boolean {
  return orphans > Math.max(tolerated.orphans, blobs * tolerated.share)
}

/** How often rows and bytes are marked anew; of older rows nothing more is sure. */
const advanceSeconds = 3600

export interface Sweep {
  /** Does all that is due, in small steps; `signal` ends it between two of them. */
  run(signal: AbortSignal): Promise<void>
}

export interface SweepNeeds {
  readonly metadata: MetadataStore
  readonly blobs: Pick<BlobStore, 'list' | 'tidy'>
  readonly removal: Removal
  readonly staging: Pick<Staging, 'underWay'>
  readonly binding: Pick<StoreBinding, 'isRestored' | 'advance'>
  readonly clock: Clock
  readonly log: Log
  readonly measures: Measures
}

export function createSweep(needs: SweepNeeds): Sweep {
  const { metadata, blobs, removal, staging, binding, clock, log, measures } = needs
  let advancedAt = clock.now()
  // Each run looks at one part of all blobs; where it begins does not matter, but that it moves on.
  let nextPart = clock.now()

  async function deleteExpiredFiles(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const deleted = await metadata.deleteExpiredFiles({ now: clock.now(), limit: batch })
      if (deleted < batch) return
    }
  }

  async function expireUploads(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const expired = await metadata.expireUploads({ now: clock.now(), limit: batch })
      if (expired < batch) return
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

  /** Bytes that no row knows come from rows that were lost, so they are not removed in a hurry. */
  async function lookForOrphans(): Promise<void> {
    // What newer rows may have held must stay until somebody had the time to notice.
    if (binding.isRestored()) return
    const prefix = (nextPart % 256).toString(16).padStart(2, '0')
    nextPart += 1
    const ids = await Array.fromAsync(blobs.list(prefix))
    const orphans: string[] = []
    for (let at = 0; at < ids.length; at += batch) {
      const blob_ids = ids.slice(at, at + batch)
      orphans.push(...(await metadata.findUnknownBlobs({ blob_ids })))
    }
    if (areTooMany(orphans.length, ids.length)) {
      measures.add('sweeps_stopped')
      log.error(
        { prefix, blobs: ids.length, orphans: orphans.length },
        'so many blobs have no row that none is removed; coffer fsck tells more',
      )
      return
    }
    const { found, quarantined } = await metadata.noteOrphans({
      prefix,
      blob_ids: orphans,
      now: clock.now(),
      second_look_seconds: secondLookSeconds,
      quarantine_seconds: quarantineSeconds,
    })
    measures.add('orphans_found', found)
    measures.add('orphans_quarantined', quarantined)
    if (quarantined > 0) {
      log.warn({ prefix, quarantined }, 'blobs without a row will be removed in a day')
    }
  }

  return {
    async run(signal) {
      await deleteExpiredFiles(signal)
      await expireUploads(signal)
      await removeLooseBlobs(signal)
      const now = clock.now()
      await metadata.forgetDeletedFiles({ deleted_before: now - rememberDeletedSeconds })
      await metadata.forgetUploads({ expired_before: now - rememberUploadsSeconds })
      await blobs.tidy()
      if (signal.aborted) return
      await lookForOrphans()
      if (now >= advancedAt + advanceSeconds) {
        await binding.advance()
        advancedAt = now
      }
      measures.add('sweeps')
    },
  }
}
