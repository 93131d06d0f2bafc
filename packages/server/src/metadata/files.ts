/** Rows of files: every look-up names the project, so that no caller reaches another's file. */

import type { SelectQueryBuilder } from 'kysely'
import { lockOrganizations } from './dialect.ts'
import { inOrder } from './in-order.ts'
import { prepared } from './prepared.ts'
import { Refusal } from './refusal.ts'
import type { Database, Tables } from './tables.ts'

/** What the content was found to be; null where that was not looked at. */
export interface FileFacts {
  readonly mime_type: string | null
  readonly num_lines: number | null
  readonly tokens: number | null
}

export interface FileRow extends FileFacts {
  readonly id: string
  readonly purpose: string
  readonly filename: string
  readonly bytes: number
  /** In lower-case hexadecimal; empty where it was never taken, of content that came in parts. */
  readonly sha256: string
  readonly encoding: 'utf-8' | 'binary'
  readonly created_at: number
  readonly expires_at: number | null
  /** When its content was found to be not what was stored. */
  readonly damaged_at: number | null
}

const fileColumns = [
  'id',
  'purpose',
  'filename',
  'bytes',
  'sha256',
  'encoding',
  'created_at',
  'expires_at',
  'damaged_at',
  'mime_type',
  'num_lines',
  'tokens',
] as const

export interface Segment {
  readonly blob_id: string
  readonly bytes: number
  /** Of the blocks of the blob. */
  readonly checksums: Uint8Array
}

/** Where a file stands in the lists of its project. */
export interface FilePosition {
  readonly created_at: number
  readonly sequence: number
}

export interface NewFile extends Omit<FileRow, 'damaged_at'> {
  readonly organization_id: string
  readonly project_id: string
  readonly segments: readonly Segment[]
}

type SegmentRow = Segment & { readonly file_id: string; readonly position: number }

/** `blob-swept` means that the sweep took a blob, so the file cannot be had any more. */
export type AddFileOutcome = 'added' | 'quota-exceeded' | 'blob-swept'

type Usage = Pick<NewFile, 'organization_id' | 'bytes'>

export const takeQuota = prepared(
  (db, { organization_id, bytes, quota_bytes }: Usage & { quota_bytes: number }) =>
    db
      .updateTable('organizations')
      .set((eb) => ({ used_bytes: eb('used_bytes', '+', bytes) }))
      .where('id', '=', organization_id)
      .where((eb) => eb(eb('used_bytes', '+', bytes), '<=', quota_bytes)),
)

export const giveQuotaBack = prepared((db, { organization_id, bytes }: Usage) =>
  db
    .updateTable('organizations')
    .set((eb) => ({ used_bytes: eb('used_bytes', '-', bytes) }))
    .where('id', '=', organization_id),
)

export const holdBlob = prepared((db, { blob_id }: { blob_id: string }) =>
  db.deleteFrom('loose_blobs').where('blob_id', '=', blob_id).where('sweep_after', '>', 0),
)

const insertFile = prepared((db, file: Omit<NewFile, 'segments'>) =>
  db.insertInto('files').values({
    id: file.id,
    organization_id: file.organization_id,
    project_id: file.project_id,
    purpose: file.purpose,
    filename: file.filename,
    bytes: file.bytes,
    sha256: file.sha256,
    encoding: file.encoding,
    created_at: file.created_at,
    expires_at: file.expires_at,
    mime_type: file.mime_type,
    num_lines: file.num_lines,
    tokens: file.tokens,
  }),
)

const insertSegment = prepared((db, segment: SegmentRow) =>
  db.insertInto('segments').values({
    file_id: segment.file_id,
    position: segment.position,
    blob_id: segment.blob_id,
    bytes: segment.bytes,
    checksums: segment.checksums,
  }),
)

/** One, as most files have, or as many at a time as both databases take. */
async function insertSegments(db: Database, rows: readonly SegmentRow[]): Promise<void> {
  const [first, ...others] = rows
  if (first === undefined) return
  if (others.length === 0) await insertSegment(db, first)
  else for (const some of inThousands(rows)) await db.insertInto('segments').values(some).execute()
}

/** Adds a file and makes its loose blobs held, if the organization stays within `quota_bytes`. */
export async function addFile(
  db: Database,
  { file, quota_bytes }: { file: NewFile; quota_bytes: number },
): Promise<AddFileOutcome> {
  const usage = takeQuota(db, { ...file, quota_bytes })
  const held = file.segments.map((segment) => holdBlob(db, segment))
  await inOrder([usage, ...held, insertHeldFile(db, file)])
  if ((await usage).numAffectedRows === 0n) throw new Refusal<AddFileOutcome>('quota-exceeded')
  for (const blob of held) {
    if ((await blob).numAffectedRows === 0n) throw new Refusal<AddFileOutcome>('blob-swept')
  }
  return 'added'
}

/** Inserts a file whose bytes are counted and whose blobs are neither loose nor held by others. */
export async function insertHeldFile(db: Database, file: NewFile): Promise<void> {
  const segments = file.segments.map((segment, position) => ({
    ...{ file_id: file.id, position },
    ...{ blob_id: segment.blob_id, bytes: segment.bytes, checksums: segment.checksums },
  }))
  await inOrder([insertFile(db, file), insertSegments(db, segments)])
}

interface OneFile {
  readonly project_id: string
  readonly id: string
  readonly now: number
}

const selectFile = prepared((db, { project_id, id, now }: OneFile) =>
  visibleFiles(db, project_id, now).where('id', '=', id).select(fileColumns),
)

export async function findFile(db: Database, file: OneFile): Promise<FileRow | undefined> {
  const { rows } = await selectFile(db, file)
  return rows[0]
}

const selectSegments = prepared(
  (db, { project_id, file_id }: { project_id: string; file_id: string }) =>
    db
      .selectFrom('segments')
      .innerJoin('files', 'files.id', 'segments.file_id')
      .where('files.project_id', '=', project_id)
      .where('segments.file_id', '=', file_id)
      .orderBy('segments.position')
      .select(['segments.blob_id', 'segments.bytes', 'segments.checksums']),
)

/** The segments of a file, in order; none if there is no such file. */
export async function listSegments(
  db: Database,
  file: { project_id: string; file_id: string },
): Promise<Segment[]> {
  const { rows } = await selectSegments(db, file)
  return rows
}

export interface ListFiles {
  readonly project_id: string
  readonly now: number
  readonly order: 'asc' | 'desc'
  readonly limit: number
  readonly purpose?: string | undefined
  /** The list begins behind this position. */
  readonly after?: FilePosition | undefined
}

/** At most `limit` files by (created_at, sequence). */
export async function listFiles(
  db: Database,
  { project_id, now, order, limit, purpose, after }: ListFiles,
): Promise<FileRow[]> {
  return visibleFiles(db, project_id, now)
    .$if(purpose !== undefined, (query) => query.where('purpose', '=', purpose ?? ''))
    .$if(after !== undefined, (query) =>
      query.where((eb) =>
        eb(
          eb.refTuple('created_at', 'sequence'),
          order === 'asc' ? '>' : '<',
          eb.tuple(after?.created_at ?? 0, after?.sequence ?? 0),
        ),
      ),
    )
    .orderBy('created_at', order)
    .orderBy('sequence', order)
    .limit(limit)
    .select(fileColumns)
    .execute()
}

/** Where the file stands or, for a while after it was deleted, stood. */
export async function findFilePosition(
  db: Database,
  { project_id, id }: { project_id: string; id: string },
): Promise<FilePosition | undefined> {
  return db
    .selectFrom('files')
    .where('project_id', '=', project_id)
    .where('id', '=', id)
    .select(['created_at', 'sequence'])
    .unionAll(
      db
        .selectFrom('deleted_files')
        .where('project_id', '=', project_id)
        .where('id', '=', id)
        .select(['created_at', 'sequence']),
    )
    .executeTakeFirst()
}

/** Remembers that the content of a file is not what was stored. */
export async function markDamagedFile(
  db: Database,
  { project_id, id, now }: { project_id: string; id: string; now: number },
): Promise<void> {
  await db
    .updateTable('files')
    .set({ damaged_at: now })
    .where('project_id', '=', project_id)
    .where('id', '=', id)
    .where('damaged_at', 'is', null)
    .execute()
}

/** Deletes a file and gives the blobs that are loose now, or `undefined` if there is no such file. */
export async function deleteFile(db: Database, file: OneFile): Promise<string[] | undefined> {
  const { rows } = await selectRemoval(db, file)
  const [found] = rows
  return found === undefined ? undefined : removeFile(db, found, file.now)
}

/** Deletes at most `limit` expired files of all projects; gives how many there were. */
export async function deleteExpiredFiles(
  db: Database,
  { now, limit }: { now: number; limit: number },
): Promise<number> {
  const expired = db
    .selectFrom('files')
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .limit(limit)
  const found = await expired.select(['id', 'organization_id']).execute()
  if (found.length === 0) return 0
  const locked = await lockOrganizations(db, found)
  if (locked.length === 0) return 0
  // Others may have been quicker, and of theirs the usage is settled.
  const files = await db
    .selectFrom('files')
    .where(
      'id',
      'in',
      found.map(({ id }) => id),
    )
    .where('organization_id', 'in', locked)
    .select(removalColumns)
    .execute()
  for (const file of files) await removeFile(db, file, now)
  return files.length
}

/** Forgets where at most `limit` files stood that were deleted before a time; gives how many there were. */
export async function forgetDeletedFiles(
  db: Database,
  { deleted_before, limit }: { deleted_before: number; limit: number },
): Promise<number> {
  const forgotten = await db
    .deleteFrom('deleted_files')
    .where('id', 'in', (eb) =>
      eb
        .selectFrom('deleted_files')
        .where('deleted_at', '<', deleted_before)
        .orderBy('deleted_at')
        .limit(limit)
        .select('id'),
    )
    .executeTakeFirstOrThrow()
  return Number(forgotten.numDeletedRows)
}

const removalColumns = [
  'id',
  'organization_id',
  'project_id',
  'bytes',
  'created_at',
  'sequence',
] as const

const selectRemoval = prepared((db, { project_id, id, now }: OneFile) =>
  visibleFiles(db, project_id, now).where('id', '=', id).select(removalColumns),
)

const dropSegments = prepared((db, { file_id }: { file_id: string }) =>
  db.deleteFrom('segments').where('file_id', '=', file_id).returning('blob_id'),
)

/** Lists blobs that nothing may hold again, as taken from the start. */
export async function insertTakenBlobs(db: Database, blobs: readonly string[]): Promise<void> {
  const rows = blobs.map((blob_id) => ({ blob_id, sweep_after: 0, server_id: null }))
  for (const some of inThousands(rows)) await db.insertInto('loose_blobs').values(some).execute()
}

function* inThousands<Row>(rows: readonly Row[]): Generator<Row[]> {
  for (let at = 0; at < rows.length; at += 1000) yield rows.slice(at, at + 1000)
}

const dropFile = prepared((db, { id }: { id: string }) =>
  db.deleteFrom('files').where('id', '=', id),
)

type DeletedFile = FilePosition & { id: string; project_id: string; deleted_at: number }

const insertDeletedFile = prepared((db, file: DeletedFile) =>
  db.insertInto('deleted_files').values({
    id: file.id,
    project_id: file.project_id,
    created_at: file.created_at,
    sequence: file.sequence,
    deleted_at: file.deleted_at,
  }),
)

async function removeFile(
  db: Database,
  file: FilePosition & { id: string; organization_id: string; project_id: string; bytes: number },
  now: number,
): Promise<string[]> {
  const { rows: segments } = await dropSegments(db, { file_id: file.id })
  // One blob may stand in several places of the file.
  const blobs = [...new Set(segments.map((segment) => segment.blob_id))]
  await inOrder([
    insertTakenBlobs(db, blobs),
    dropFile(db, file),
    giveQuotaBack(db, file),
    insertDeletedFile(db, { ...file, deleted_at: now }),
  ])
  return blobs
}

/** An expired file is gone for callers at once, and for the store when the sweep comes by. */
function visibleFiles(
  db: Database,
  project_id: string,
  now: number,
): SelectQueryBuilder<Tables, 'files', unknown> {
  return db
    .selectFrom('files')
    .where('project_id', '=', project_id)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
}
