/** Reads all content and holds it against what was stored, as slowly as it is told. */

import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { BlobError } from '../blobs/blob-error.ts'
import { isSystemError } from '../blobs/blob-file.ts'
import { checkBlocks } from '../blobs/block-sums.ts'
import { type DiskReader, openDiskReader } from '../blobs/disk-reader.ts'
import { FolderInUse } from '../lock-folder.ts'
import type { Segment } from '../metadata/files.ts'
import * as rows from '../metadata/inspection.ts'
import { openSqliteRows } from '../metadata/sqlite-rows.ts'
import { type Clock, systemClock } from '../service/clock.ts'
import { isStorageFault } from '../sqlite/faults.ts'
import { lockStore, type Places, requireStore } from './places.ts'

/** Files of one question to the database. */
const batch = 200

/** What looking for a blob costs a disk, as bytes of the rate: many small ones are work, too. */
const seekBytes = 64 * 1024

/** Shorter rests cost more than they spare. */
const leastRestMilliseconds = 20

export interface Damage {
  readonly file: string
  /** A sentence. */
  readonly what: string
  /** Undefined where all blobs are whole, and what they make up is not. */
  readonly blob: string | undefined
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

type Paced = (pieces: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>

async function findDamage(
  bytes: DiskReader,
  file: rows.WholeFile,
  paced: Paced,
): Promise<Pick<Damage, 'what' | 'blob'> | undefined> {
  const digest = createHash('sha256')
  for (const segment of file.segments) {
    try {
      const size = await bytes.size(segment.blob_id)
      if (size === undefined) return { what: 'its bytes are missing', blob: segment.blob_id }
      if (size !== segment.bytes) {
        const what = `${size} bytes are there, and ${segment.bytes} were stored`
        return { what, blob: segment.blob_id }
      }
      for await (const piece of readChecked(bytes, segment, paced)) digest.update(piece)
    } catch (error) {
      const what = whatIsDamaged(error)
      if (what === undefined) throw error
      return { what, blob: segment.blob_id }
    }
  }
  if (digest.digest('hex') === file.sha256) return undefined
  const [only] = file.segments
  const blob = file.segments.length === 1 ? only?.blob_id : undefined
  return { what: 'its content is not what was stored', blob }
}

function readChecked(
  bytes: DiskReader,
  { blob_id: id, bytes: end, checksums: sums }: Segment,
  paced: Paced,
): AsyncIterable<Uint8Array> {
  const pieces = paced(bytes.read(id, { start: 0, end }))
  return sums.length === 0 ? pieces : checkBlocks(pieces, { id, sums, first: 0 })
}

/** Undefined where the error says nothing about the bytes: another user's file is not damaged. */
function whatIsDamaged(error: unknown): string | undefined {
  if (error instanceof BlobError) {
    return error.code === 'not-found' ? 'its bytes are missing' : sentenceOf(error)
  }
  if (isStorageFault(error) || isSystemError(error, 'EIO')) {
    return `the disk cannot read it: ${sentenceOf(error)}`
  }
  return undefined
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error)
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
