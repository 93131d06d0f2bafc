/** The timed work that keeps the promises of time: expired files go, and bytes nothing holds. */

import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { Measures } from './measures.ts'
import type { Presence } from './presence.ts'
import type { Removal } from './removal.ts'
import type { Staging } from './staging.ts'
import type { StoreBinding } from './store-binding.ts'

/** How long a page may still begin after a deleted file, in seconds. */
const rememberDeletedSeconds = 24 * 3600

/** How long an Upload that ended can still be asked for after its time was over, in seconds. */
const rememberUploadsSeconds = 24 * 3600

/** All blobs, by what their ids begin with: 00 to ff. */
const parts = 256

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
  readonly binding: Pick<StoreBinding, 'isRestored' | 'state' | 'look' | 'advance'>
  readonly presence: Pick<Presence, 'server_id' | 'share'>
  readonly clock: Clock
  readonly log: Log
  readonly measures: Measures
}

export function createSweep(needs: SweepNeeds): Sweep {
  const { metadata, blobs, removal, staging, binding, presence, clock, log, measures } = needs
  let advancedAt = clock.now()
  // Each run looks at one part of its share; where it begins does not matter, but that it moves on.
  let nextPart = clock.now()

  /** Does a batch after the other until there are no more. */
  async function inBatches(signal: AbortSignal, doBatch: () => Promise<number>): Promise<void> {
    while (!signal.aborted) if ((await doBatch()) < batch) return
  }

  async function removeLooseBlobs(signal: AbortSignal): Promise<void> {
    const share = presence.share(parts)
    let after_id = ''
    while (!signal.aborted) {
      const taken = await metadata.takeSweepableBlobs({
        now: clock.now(),
        server_id: presence.server_id,
        share: { from: prefixOf(share.from), to: prefixOf(share.to) },
        after_id,
        limit: batch,
        except: staging.underWay(),
        ...binding.state(),
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
    const { from, to } = presence.share(parts)
    if (from === to) return
    const prefix = prefixOf(from + (nextPart % (to - from)))
    nextPart += 1
    const orphans: string[] = []
    let count = 0
    for await (const blob_ids of inBatchesOf(batch, blobs.list(prefix))) {
      count += blob_ids.length
      orphans.push(...(await metadata.findUnknownBlobs({ blob_ids })))
    }
    if (areTooMany(orphans.length, count)) {
      measures.add('sweeps_stopped')
      log.error(
        { prefix, blobs: count, orphans: orphans.length },
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

  async function advanceAt(now: number): Promise<void> {
    if (now < advancedAt + advanceSeconds) return
    await binding.advance()
    advancedAt = now
  }

  return {
    async run(signal) {
      await binding.look()
      const now = clock.now()
      const limit = batch
      const deleted_before = now - rememberDeletedSeconds
      const expired_before = now - rememberUploadsSeconds
      await doAll(signal, [
        () => inBatches(signal, () => metadata.deleteExpiredFiles({ now, limit })),
        () => inBatches(signal, () => metadata.expireUploads({ now, limit })),
        () => removeLooseBlobs(signal),
        () => inBatches(signal, () => metadata.forgetDeletedFiles({ deleted_before, limit })),
        () => inBatches(signal, () => metadata.forgetUploads({ expired_before, limit })),
        () => blobs.tidy(),
        () => lookForOrphans(),
        () => advanceAt(now),
      ])
      if (!signal.aborted) measures.add('sweeps')
    },
  }
}

/**
 * One after the other until the signal, also behind one that fails: what always fails must not keep room from
 * being freed.
 *
 * @throws what the first that failed did.
 */
async function doAll(signal: AbortSignal, steps: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = []
  for (const step of steps) {
    if (signal.aborted) break
    await step().catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) throw failures[0]
}

/** What the ids of a part begin with; behind the last, what is greater than all ids. */
function prefixOf(part: number): string {
  return part === parts ? '~' : part.toString(16).padStart(2, '0')
}

async function* inBatchesOf<Item>(
  size: number,
  items: AsyncIterable<Item>,
): AsyncGenerator<Item[]> {
  let gathered: Item[] = []
  for await (const item of items) {
    gathered.push(item)
    if (gathered.length < size) continue
    yield gathered
    gathered = []
  }
  if (gathered.length > 0) yield gathered
}
