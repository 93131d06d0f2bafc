/**
 * Holds rows against bytes, and changes nothing. It needs no rest: a row's life lies within that of
 * its bytes, and theirs within that of a row or a place in the list of loose blobs. So what looks
 * wrong is wrong if it still does when it is looked at again in the order of that invariant.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { prefixes, smallBlobsName } from '../blobs/disk-layout.ts'
import { type DiskReader, openDiskReader, type StoredBlob } from '../blobs/disk-reader.ts'
import * as rows from '../metadata/inspection.ts'
import { findUnknownBlobs } from '../metadata/orphans.ts'
import { openSqliteRows, type SqliteRows } from '../metadata/sqlite-rows.ts'
import { findStore } from '../metadata/store-mark.ts'
import type { Database } from '../metadata/tables.ts'
import { type Clock, systemClock } from '../service/clock.ts'
import { readMark } from '../service/store-binding.ts'
import { areTooMany, quarantineSeconds } from '../service/sweep.ts'
import { isStorageFault } from '../sqlite/faults.ts'
import { quickCheck } from '../sqlite/quick-check.ts'
import { type Places, requireStore } from './places.ts'
import type { Fault, MarkFault, Report } from './report.ts'

/** Ids of one question to the database. */
const batch = 200

/** The sweep looks at a part of the blobs at a time, so it is a while until an orphan's turn. */
const turnSeconds = 24 * 3600

export interface InspectOptions {
  readonly signal: AbortSignal
  readonly clock?: Clock
  /** Told how many bytes of how many were looked at; their content is not read. */
  readonly moved?: (bytes: number, total: number) => void
}

/** A blob that no row knows. */
export interface Orphan extends StoredBlob {
  readonly quarantined_at: number | null
  readonly isNoted: boolean
}

export interface Inspection {
  readonly report: Report
  /** One by one, for who mends them. */
  readonly orphans: readonly Orphan[]
}

/** @throws if there is no store, or one of another version; what is wrong with it is no error. */
export async function inspect(
  places: Places,
  { signal, clock = systemClock, moved }: InspectOptions,
): Promise<Inspection> {
  requireStore(places)
  const faults: Fault[] = []
  const orphans: Orphan[] = []
  let counts = { files: 0, bytes: 0, loose: 0 }

  const small = join(places.blobs, smallBlobsName)
  faults.push(...checkDatabase(places.database))
  // Without it all small blobs are missing, which is told of each.
  faults.push(...checkDatabase(small))
  signal.throwIfAborted()
  try {
    using store = openSqliteRows(places.database, { readOnly: true })
    using bytes = openDiskReader(places.blobs)
    counts = await rows.countRows(store.db)
    faults.push(...checkReferences(places.database, store))
    faults.push(...(await checkMarks(store.db, bytes)))
    faults.push(...(await checkRows(store.db)))
    let seen = 0
    for (const prefix of prefixes) {
      signal.throwIfAborted()
      const part = await inspectPart({ places, db: store.db, bytes, prefix, now: clock.now() })
      faults.push(...part.faults)
      orphans.push(...part.orphans)
      seen += part.bytes
      moved?.(Math.min(seen, counts.bytes), counts.bytes)
    }
  } catch (error) {
    if (!isStorageFault(error) || !(error instanceof Error)) throw error
    const message = `it cannot be read to its end, so more may be wrong: ${error.message}`
    faults.push({ kind: 'database', path: places.database, message })
  }
  const report = {
    ...counts,
    orphans: {
      count: orphans.length,
      bytes: orphans.reduce((sum, orphan) => sum + orphan.bytes, 0),
      quarantined: orphans.filter(({ quarantined_at }) => quarantined_at !== null).length,
    },
    faults,
  }
  return { report, orphans }
}

function checkDatabase(path: string): Fault[] {
  if (!existsSync(path)) return [{ kind: 'database', path, message: 'it is missing' }]
  return quickCheck(path).map((message) => ({ kind: 'database', path, message }))
}

function checkReferences(path: string, { connection }: SqliteRows): Fault[] {
  const broken = connection.prepare('pragma foreign_key_check').all()
  return broken.map((row) => ({
    kind: 'database',
    path,
    message: `a row of ${row['table']} names a row of ${row['parent']} that does not exist`,
  }))
}

/** The row is read on both sides of the mark, as a server may count both up meanwhile. */
export async function checkMarks(
  db: Database,
  bytes: Pick<DiskReader, 'readMark'>,
): Promise<MarkFault[]> {
  const before = await findStore(db)
  const text = await bytes.readMark()
  const after = await findStore(db)
  const fault = (message: string): MarkFault[] => [{ kind: 'mark', message }]
  let mark: ReturnType<typeof readMark>
  try {
    mark = readMark(text)
  } catch (error) {
    return fault(error instanceof Error ? error.message : String(error))
  }
  if (mark === undefined) {
    if (!after.has_files) return []
    return fault('There is no mark of the store beside the bytes. Is their volume mounted?')
  }
  if (before.store === undefined || after.store === undefined) {
    if (mark.generation === 0) return []
    return fault(`The bytes belong to the store ${mark.id}, and the rows to none.`)
  }
  if (after.store.id !== mark.id) {
    return fault(`The rows belong to the store ${after.store.id}, the bytes to ${mark.id}.`)
  }
  if (mark.generation > after.store.generation) {
    return fault(
      `The rows are older than the bytes (generation ${after.store.generation}, ` +
        `${mark.generation}): files may be missing.`,
    )
  }
  if (before.store.generation > mark.generation + 1) {
    return fault(
      `The bytes are older than the rows (generation ${mark.generation}, ` +
        `${before.store.generation}): bytes may be missing.`,
    )
  }
  return []
}

/** What the rows alone tell, each by one look. */
async function checkRows(db: Database): Promise<Fault[]> {
  const faults: Fault[] = []
  for (const { file_id, damaged_at } of await rows.listDamagedFiles(db)) {
    faults.push({ kind: 'damaged', file: file_id, since: damaged_at })
  }
  for (const { file_id, bytes, found } of await rows.listMissizedFiles(db)) {
    faults.push({ kind: 'missized', file: file_id, expected: bytes, found })
  }
  for (const { holder, blob_id } of await rows.listHeldLooseBlobs(db)) {
    faults.push({ kind: 'held-and-loose', file: holder, blob: blob_id })
  }
  for (const { organization_id, counted, found } of await rows.listMiscounts(db)) {
    faults.push({ kind: 'miscounted', organization: organization_id, counted, found })
  }
  return faults
}

export interface PartNeeds {
  readonly places: Places
  readonly db: Database
  readonly bytes: DiskReader
  readonly prefix: string
  readonly now: number
}

/** The blobs whose ids begin with the same two digits. */
export async function inspectPart({ places, db, bytes, prefix, now }: PartNeeds) {
  const faults: Fault[] = []
  const listed = await bytes.list(prefix)
  const blobs = listed.filter(({ id }) => isBlobId(id, prefix))
  for (const { id } of listed) {
    if (isBlobId(id, prefix)) continue
    faults.push({ kind: 'stranger', path: join(places.blobs, prefix, id) })
  }

  const sizes = new Map(blobs.map(({ id, bytes: size }) => [id, size]))
  const held = await rows.listHeldBlobs(db, { prefix })
  for (const blob of held) {
    if (sizes.get(blob.blob_id) === blob.bytes) continue
    const fault = await lookAgain(db, bytes, blob)
    if (fault !== undefined) faults.push(fault)
  }

  const isHeld = new Set(held.map(({ blob_id }) => blob_id))
  const candidates = blobs.filter(({ id }) => !isHeld.has(id))
  const orphans = await keepOrphans(db, bytes, prefix, candidates)
  for (const { id, quarantined_at } of orphans) {
    if (quarantined_at === null) continue
    if (quarantined_at + quarantineSeconds + turnSeconds > now) continue
    faults.push({ kind: 'overdue', blob: id, quarantined: quarantined_at })
  }
  if (areTooMany(orphans.length, listed.length)) {
    faults.push({ kind: 'many-orphans', prefix, orphans: orphans.length })
  }
  return { faults, orphans, bytes: held.reduce((sum, blob) => sum + blob.bytes, 0) }
}

/** As the server makes them. */
function isBlobId(name: string, prefix: string): boolean {
  return name.startsWith(prefix) && /^[0-9a-f]{32}$/.test(name)
}

/** The row, the bytes, the row: what is held both times was held when the bytes were looked at. */
async function lookAgain(
  db: Database,
  bytes: DiskReader,
  { holder, blob_id, bytes: expected }: rows.HeldBlob,
): Promise<Fault | undefined> {
  if (!(await rows.isHeldBlob(db, { blob_id }))) return undefined
  const found = await bytes.size(blob_id)
  if (found === expected || !(await rows.isHeldBlob(db, { blob_id }))) return undefined
  return found === undefined
    ? { kind: 'dangling', file: holder, blob: blob_id }
    : { kind: 'mismatching', file: holder, blob: blob_id, expected, found }
}

/** The bytes, all rows, the bytes: no row knew them while they were there. */
async function keepOrphans(
  db: Database,
  bytes: DiskReader,
  prefix: string,
  candidates: readonly StoredBlob[],
): Promise<Orphan[]> {
  const orphans: Orphan[] = []
  const noted = new Map(
    (await rows.listNotedOrphans(db, { prefix })).map((row) => [row.blob_id, row]),
  )
  for (let at = 0; at < candidates.length; at += batch) {
    const part = candidates.slice(at, at + batch)
    const unknown = new Set(await findUnknownBlobs(db, { blob_ids: part.map(({ id }) => id) }))
    for (const blob of part) {
      if (!unknown.has(blob.id) || (await bytes.size(blob.id)) === undefined) continue
      const row = noted.get(blob.id)
      const quarantined_at = row?.quarantined_at ?? null
      orphans.push({ ...blob, quarantined_at, isNoted: row !== undefined })
    }
  }
  return orphans
}
