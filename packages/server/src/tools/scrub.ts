/** Reads all content and holds it against what was stored, as slowly as it is told. */

import { setTimeout as delay } from 'node:timers/promises'
import { openDiskReader } from '../blobs/disk-reader.ts'
import { FolderInUse } from '../lock-folder.ts'
import * as rows from '../metadata/inspection.ts'
import { openSqliteRows } from '../metadata/sqlite-rows.ts'
import { type Clock, systemClock } from '../service/clock.ts'
import { type FoundDamage, findDamage } from './find-damage.ts'
import { lockStore, type Places, requireStore } from './places.ts'

/** Files of one question to the database. */
const batch = 200

/** What looking for a blob costs a disk, as bytes of the rate: many small ones are work, too. */
const seekBytes = 64 * 1024

/** Shorter rests cost more than they spare. */
const leastRestMilliseconds = 20

export interface Damage extends FoundDamage {
  readonly file: string
  /** Whether the file is marked as damaged now: beside a running server it is only reported. */
  readonly isMarked: boolean
}

export interface ScrubOptions {
  readonly signal: AbortSignal
  readonly bytesPerSecond: number
  readonly clock?: Clock
  /** Told of each damaged file. */
  readonly found: (damage: Damage) => void
  readonly moved?: (bytes: number, total: number) => void
}

export interface ScrubOutcome {
  readonly files: number
  readonly bytes: number
  readonly damaged: number
}

/** @throws if there is no store, or if bytes cannot be read for a reason that is no damage. */
export async function scrub(places: Places, options: ScrubOptions): Promise<ScrubOutcome> {
  const { signal, bytesPerSecond, clock = systemClock, found, moved } = options
  requireStore(places)
  using store = openSqliteRows(places.database, { readOnly: true })
  using bytes = openDiskReader(places.blobs)
  const { bytes: total } = await rows.countRows(store.db)
  const pace = createPace(bytesPerSecond, signal)
  let read = 0
  let files = 0
  let damaged = 0

  async function* paced(pieces: AsyncIterable<Uint8Array>) {
    await pace.spend(seekBytes)
    for await (const piece of pieces) {
      read += piece.length
      moved?.(Math.min(read, total), total)
      await pace.spend(piece.length)
      yield piece
    }
  }

  for (let after = 0; ; ) {
    const part = await rows.listWholeFiles(store.db, { after, limit: batch })
    for (const file of part) {
      after = file.sequence
      const damage = await findDamage(bytes, file, paced)
      // One that was deleted meanwhile has no bytes any more, and needs none.
      if (!(await rows.isFile(store.db, { id: file.id }))) continue
      files += 1
      if (damage === undefined) continue
      damaged += 1
      found({ file: file.id, ...damage, isMarked: await mark(places, file.id, clock) })
    }
    if (part.length < batch) return { files, bytes: read, damaged }
  }
}

/** @returns whether it could: beside a running server the rows are the server's. */
async function mark(places: Places, id: string, clock: Clock): Promise<boolean> {
  try {
    using _lock = lockStore(places)
    using store = openSqliteRows(places.database, { readOnly: false })
    await rows.markDamaged(store.db, { id, now: clock.now() })
    return true
  } catch (error) {
    if (error instanceof FolderInUse) return false
    throw error
  }
}

/** Lets so many bytes pass in a second; what was not used in time is not made up for. */
function createPace(bytesPerSecond: number, signal: AbortSignal) {
  let freeAt = performance.now()
  return {
    async spend(bytes: number): Promise<void> {
      signal.throwIfAborted()
      const now = performance.now()
      const rest = freeAt - now
      freeAt = Math.max(freeAt, now) + (bytes / bytesPerSecond) * 1000
      if (rest >= leastRestMilliseconds) await delay(rest, undefined, { signal })
    },
  }
}
