/** Rows of files: every look-up names the project, so that no caller reaches another's file. */

import type { SelectQueryBuilder } from 'kysely'
import { Refusal } from './refusal.ts'
import type { Database, Tables } from './tables.ts'

export interface FileRow {
  readonly id: string
  readonly purpose: string
  readonly filename: string
  readonly bytes: number
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

/** `blob-swept` means that the sweep took a blob, so the file cannot be had any more. */
export type AddFileOutcome = 'added' | 'quota-exceeded' | 'blob-swept'

/** Adds a file and makes its loose blobs held, if the organization stays within `quota_bytes`. */
export async function addFile(
  db: Database,
  { file, quota_bytes }: { file: NewFile; quota_bytes: number },
): Promise<AddFileOutcome> {
  const { segments, ...row } = file
  const usage = await db
    .updateTable('organizations')
    .set((eb) => ({ used_bytes: eb('used_bytes', '+', file.bytes) }))
    .where('id', '=', file.organization_id)
    .where((eb) => eb(eb('used_bytes', '+', file.bytes), '<=', quota_bytes))
    .executeTakeFirstOrThrow()
  if (usage.numUpdatedRows === 0n) throw new Refusal<AddFileOutcome>('quota-exceeded')

  const blobs = segments.map((segment) => segment.blob_id)
  const held = await db
    .deleteFrom('loose_blobs')
    .where('blob_id', 'in', blobs)
    .where('sweep_after', '>', 0)
    .executeTakeFirstOrThrow()
  if (held.numDeletedRows !== BigInt(blobs.length)) {
    throw new Refusal<AddFileOutcome>('blob-swept')
  }

  await db.insertInto('files').values(row).execute()
  await db
    .insertInto('segments')
    .values(segments.map((segment, position) => ({ file_id: file.id, position, ...segment })))
    .execute()
  return 'added'
}

export async function findFile(
  db: Database,
  { project_id, id, now }: { project_id: string; id: string; now: number },
): Promise<FileRow | undefined> {
  return visibleFiles(db, project_id, now)
    .where('id', '=', id)
    .select(fileColumns)
    .executeTakeFirst()
}

/** The segments of a file, in order; none if there is no such file. */
export async function listSegments(
  db: Database,
  { project_id, file_id }: { project_id: string; file_id: string },
): Promise<Segment[]> {
  return db
    .selectFrom('segments')
    .innerJoin('files', 'files.id', 'segments.file_id')
    .where('files.project_id', '=', project_id)
    .where('segments.file_id', '=', file_id)
    .orderBy('segments.position')
    .select(['segments.blob_id', 'segments.bytes', 'segments.checksums'])
    .execute()
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
export async function deleteFile(
  db: Database,
  { project_id, id, now }: { project_id: string; id: string; now: number },
): Promise<string[] | undefined> {
  const file = await visibleFiles(db, project_id, now)
    .where('id', '=', id)
    .select(removalColumns)
    .executeTakeFirst()
  return file === undefined ? undefined : removeFile(db, file, now)
}

/** Deletes at most `limit` expired files of all projects; gives how many there were. */
export async function deleteExpiredFiles(
  db: Database,
  { now, limit }: { now: number; limit: number },
): Promise<number> {
  const files = await db
    .selectFrom('files')
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .limit(limit)
    .select(removalColumns)
    .execute()
  for (const file of files) await removeFile(db, file, now)
  return files.length
}

/** Forgets where files stood that were deleted before a time. */
export async function forgetDeletedFiles(
  db: Database,
  { deleted_before }: { deleted_before: number },
): Promise<void> {
  await db.deleteFrom('deleted_files').where('deleted_at', '<', deleted_before).execute()
}

const removalColumns = [
  'id',
  'organization_id',
  'project_id',
  'bytes',
  'created_at',
  'sequence',
] as const

async function removeFile(
  db: Database,
  file: FilePosition & { id: string; organization_id: string; project_id: string; bytes: number },
  now: number,
): Promise<string[]> {
  const { id, organization_id, project_id, bytes, created_at, sequence } = file
  const segments = await db
    .deleteFrom('segments')
    .where('file_id', '=', id)
    .returning('blob_id')
    .execute()
  const blobs = segments.map((segment) => segment.blob_id)
  // Taken from the start: nothing may hold the bytes of a deleted file again.
  await db
    .insertInto('loose_blobs')
    .values(blobs.map((blob_id) => ({ blob_id, sweep_after: 0 })))
    .execute()
  await db.deleteFrom('files').where('id', '=', id).execute()
  await db
    .updateTable('organizations')
    .set((eb) => ({ used_bytes: eb('used_bytes', '-', bytes) }))
    .where('id', '=', organization_id)
    .execute()
  await db
    .insertInto('deleted_files')
    .values({ id, project_id, created_at, sequence, deleted_at: now })
    .execute()
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
