/** Rows of Uploads and their parts: bytes that come in pieces and become a file in one step. */

import { lockOrganizations } from './dialect.ts'
import {
  type FileFacts,
  type FileRow,
  giveQuotaBack,
  holdBlob,
  insertHeldFile,
  insertTakenBlobs,
  type Segment,
  takeQuota,
} from './files.ts'
import { inOrder } from './in-order.ts'
import type { Owner } from './owners.ts'
import { Refusal } from './refusal.ts'
import type { Database, Tables } from './tables.ts'

/** What is stored of one; a pending one of the past counts as expired. */
export interface UploadRow {
  readonly id: string
  readonly purpose: string
  readonly filename: string
  readonly bytes: number
  /** Seconds from the creation of its file until that expires. */
  readonly lifetime: number | null
  readonly created_at: number
  readonly expires_at: number
  readonly status: Tables['uploads']['status']
  /** Of a completed one. */
  readonly file_id: string | null
  /** Of a completed one, as a JSON array. */
  readonly part_ids: string | null
  /** What a tus client has said of it, to be told to who asks there. */
  readonly tus_metadata: string | null
  /** The bytes of all parts, while it is pending. */
  readonly arrived_bytes: number
}

const uploadColumns = [
  'id',
  'purpose',
  'filename',
  'bytes',
  'lifetime',
  'created_at',
  'expires_at',
  'status',
  'file_id',
  'part_ids',
  'tus_metadata',
  'arrived_bytes',
] as const

export interface NewUpload
  extends Omit<UploadRow, 'status' | 'file_id' | 'part_ids' | 'arrived_bytes'>,
    Owner {
  readonly mime_type: string
}

export interface PartRow extends Segment {
  /** Where it stands in the order in which parts came. */
  readonly sequence: number
  readonly id: string
  readonly sha256: string
  /** What is known of its text; the service writes and reads it. */
  readonly encoding: string
  readonly created_at: number
}

const partColumns = [
  'sequence',
  'id',
  'blob_id',
  'bytes',
  'sha256',
  'checksums',
  'encoding',
  'created_at',
] as const

interface OneUpload {
  readonly project_id: string
  readonly id: string
}

/** Adds an Upload and counts its bytes as used, if its organization stays within `quota_bytes`. */
export async function addUpload(
  db: Database,
  { upload, quota_bytes }: { upload: NewUpload; quota_bytes: number },
): Promise<'added' | 'quota-exceeded'> {
  const usage = await takeQuota(db, { ...upload, quota_bytes })
  if (usage.numAffectedRows === 0n) return 'quota-exceeded'
  await db
    .insertInto('uploads')
    .values({ ...upload, status: 'pending' })
    .execute()
  return 'added'
}

export async function findUpload(
  db: Database,
  { project_id, id }: OneUpload,
): Promise<UploadRow | undefined> {
  return db
    .selectFrom('uploads')
    .where('project_id', '=', project_id)
    .where('id', '=', id)
    .select(uploadColumns)
    .executeTakeFirst()
}

export interface ListParts extends OneUpload {
  /** Parts that came behind this one, which must be a part of the Upload. */
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

/** The parts of a pending Upload, in the order in which they came. */
export async function listParts(
  db: Database,
  { project_id, id, after, limit }: ListParts,
): Promise<PartRow[]> {
  return db
    .selectFrom('parts')
    .where('upload_id', 'in', (eb) =>
      eb
        .selectFrom('uploads')
        .where('project_id', '=', project_id)
        .where('id', '=', id)
        .select('id'),
    )
    .$if(after !== undefined, (query) =>
      query.where('sequence', '>', (eb) =>
        eb
          .selectFrom('parts')
          .where('upload_id', '=', id)
          .where('id', '=', after ?? '')
          .select('sequence'),
      ),
    )
    .orderBy('sequence')
    .$if(limit !== undefined, (query) => query.limit(limit ?? 0))
    .select(partColumns)
    .execute()
}

export async function hasPart(
  db: Database,
  { project_id, id, part_id }: OneUpload & { part_id: string },
): Promise<boolean> {
  const row = await db
    .selectFrom('parts')
    .innerJoin('uploads', 'uploads.id', 'parts.upload_id')
    .where('uploads.project_id', '=', project_id)
    .where('uploads.id', '=', id)
    .where('parts.id', '=', part_id)
    .select('parts.id')
    .executeTakeFirst()
  return row !== undefined
}

/**
 * `known` is a part with the same bytes, which stands for both: the new blob stays loose.
 * `blob-swept` means that the sweep took the blob.
 */
export type AddPartOutcome =
  | { readonly outcome: 'added' }
  | { readonly outcome: 'known'; readonly id: string; readonly created_at: number }
  | { readonly outcome: 'not-pending' | 'too-many-bytes' | 'too-many-parts' | 'elsewhere' }

export interface AddPart extends OneUpload {
  readonly part: Omit<PartRow, 'sequence'>
  /** How many bytes have come before: where others have, the part is not added; it is never known. */
  readonly offset?: number | undefined
  /** Of one Upload. */
  readonly most_parts: number
  readonly now: number
}

/** Adds a part to a pending Upload, whose parts never have more bytes than it, nor are too many. */
export async function addPart(
  db: Database,
  { project_id, id, part, offset, most_parts, now }: AddPart,
): Promise<AddPartOutcome | 'blob-swept'> {
  const upload = await pendingUploads(db, now)
    .where('project_id', '=', project_id)
    .where('id', '=', id)
    .select(['bytes', 'arrived_bytes', 'arrived_parts'])
    .executeTakeFirst()
  if (upload === undefined) return { outcome: 'not-pending' }
  if (offset === undefined) {
    const known = await db
      .selectFrom('parts')
      .where('upload_id', '=', id)
      .where('sha256', '=', part.sha256)
      .where('bytes', '=', part.bytes)
      .select(['id', 'created_at'])
      .executeTakeFirst()
    if (known !== undefined) return { outcome: 'known', ...known }
  }
  const { bytes, arrived_bytes, arrived_parts } = upload
  if (offset !== undefined && offset !== arrived_bytes) return { outcome: 'elsewhere' }
  if (arrived_bytes + part.bytes > bytes) return { outcome: 'too-many-bytes' }
  if (arrived_parts >= most_parts) return { outcome: 'too-many-parts' }
  const held = holdBlob(db, part)
  await inOrder([
    held,
    db
      .insertInto('parts')
      .values({ ...part, upload_id: id })
      .execute(),
    db
      .updateTable('uploads')
      .set((eb) => ({
        arrived_bytes: eb('arrived_bytes', '+', part.bytes),
        arrived_parts: eb('arrived_parts', '+', 1),
      }))
      .where('id', '=', id)
      .execute(),
  ])
  if ((await held).numAffectedRows === 0n) throw new Refusal('blob-swept')
  return { outcome: 'added' }
}

export type CompleteUploadOutcome =
  | { readonly outcome: 'completed'; readonly loose: readonly string[] }
  | { readonly outcome: 'not-pending' }

/**
 * Makes a pending Upload a file of the parts with these ids, in their order; one may stand there more
 * than once. The others are loose then, and taken. Its bytes stay counted, as those of the file.
 *
 * @returns `parts-changed` if there is no such part or the sizes do not add up.
 */
export async function completeUpload(
  db: Database,
  {
    project_id,
    id,
    part_ids,
    file,
    now,
  }: OneUpload & {
    part_ids: readonly string[]
    file: Pick<FileRow, 'id' | 'sha256' | 'encoding' | 'created_at' | 'expires_at'> & FileFacts
    now: number
  },
): Promise<CompleteUploadOutcome | 'parts-changed'> {
  const upload = await pendingUploads(db, now)
    .where('project_id', '=', project_id)
    .where('id', '=', id)
    .selectAll()
    .executeTakeFirst()
  if (upload === undefined) return { outcome: 'not-pending' }
  const parts = await db
    .deleteFrom('parts')
    .where('upload_id', '=', id)
    .returning(['id', 'blob_id', 'bytes', 'checksums'])
    .execute()
  const byId = new Map(parts.map((part) => [part.id, part]))
  const chosen = part_ids.flatMap((part_id) => byId.get(part_id) ?? [])
  const bytes = chosen.reduce((sum, part) => sum + part.bytes, 0)
  if (chosen.length !== part_ids.length || bytes !== upload.bytes) {
    throw new Refusal('parts-changed')
  }
  // Nobody would ever read the others.
  const segments = chosen.filter((part) => part.bytes > 0)
  const { organization_id, purpose, filename } = upload
  await insertHeldFile(db, {
    ...{ organization_id, project_id, purpose, filename, bytes },
    ...{ ...file, segments },
  })
  await db
    .updateTable('uploads')
    .set({ status: 'completed', file_id: file.id, part_ids: JSON.stringify(part_ids) })
    .where('id', '=', id)
    .execute()
  const used = new Set(segments)
  const loose = parts.filter((part) => !used.has(part)).map(({ blob_id }) => blob_id)
  await insertTakenBlobs(db, loose)
  return { outcome: 'completed', loose }
}

/** Gives up a pending Upload; gives the blobs that are loose now, or `undefined` if it is not pending. */
export async function cancelUpload(
  db: Database,
  { project_id, id, now }: OneUpload & { now: number },
): Promise<string[] | undefined> {
  const upload = await pendingUploads(db, now)
    .where('project_id', '=', project_id)
    .where('id', '=', id)
    .select(['id', 'organization_id', 'bytes'])
    .executeTakeFirst()
  return upload === undefined ? undefined : endUpload(db, upload, 'cancelled')
}

/** Ends at most `limit` Uploads of all projects whose time is over; gives how many there were. */
export async function expireUploads(
  db: Database,
  { now, limit }: { now: number; limit: number },
): Promise<number> {
  const overdue = db
    .selectFrom('uploads')
    .where('status', '=', 'pending')
    .where('expires_at', '<=', now)
    .select(['id', 'organization_id', 'bytes'])
  const found = await overdue.orderBy('expires_at').limit(limit).execute()
  if (found.length === 0) return 0
  const locked = await lockOrganizations(db, found)
  if (locked.length === 0) return 0
  const ids = found.map(({ id }) => id)
  // Others may have been quicker, and of theirs the usage is settled.
  const uploads = await overdue
    .where('id', 'in', ids)
    .where('organization_id', 'in', locked)
    .execute()
  for (const upload of uploads) await endUpload(db, upload, 'expired')
  return uploads.length
}

/**
 * Forgets at most `limit` Uploads that ended, be it well, and whose time was over before this; gives how many
 * there were.
 */
export async function forgetUploads(
  db: Database,
  { expired_before, limit }: { expired_before: number; limit: number },
): Promise<number> {
  const forgotten = await db
    .deleteFrom('uploads')
    .where('id', 'in', (eb) =>
      eb
        .selectFrom('uploads')
        .where('expires_at', '<', expired_before)
        .where('status', '<>', 'pending')
        .orderBy('expires_at')
        .limit(limit)
        .select('id'),
    )
    .executeTakeFirstOrThrow()
  return Number(forgotten.numDeletedRows)
}

async function endUpload(
  db: Database,
  upload: { id: string; organization_id: string; bytes: number },
  status: 'cancelled' | 'expired',
): Promise<string[]> {
  const parts = await db
    .deleteFrom('parts')
    .where('upload_id', '=', upload.id)
    .returning('blob_id')
    .execute()
  await inOrder([
    insertTakenBlobs(
      db,
      parts.map(({ blob_id }) => blob_id),
    ),
    db.updateTable('uploads').set({ status }).where('id', '=', upload.id).execute(),
    giveQuotaBack(db, upload),
  ])
  return parts.map(({ blob_id }) => blob_id)
}

function pendingUploads(db: Database, now: number) {
  return db.selectFrom('uploads').where('status', '=', 'pending').where('expires_at', '>', now)
}
