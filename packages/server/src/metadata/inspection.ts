/** What `coffer fsck` and its like ask of the rows of all projects, and what they mend. */

import type { Segment } from './files.ts'
import type { Database } from './tables.ts'

/** In one look, so that a change under way cannot come between the numbers. */
export async function countRows(
  db: Database,
): Promise<{ files: number; bytes: number; loose: number }> {
  const { files, bytes, loose } = await db
    .selectNoFrom((eb) => [
      eb
        .selectFrom('files')
        .select(({ fn }) => fn.countAll<number>().as('n'))
        .as('files'),
      eb
        .selectFrom('files')
        .select(({ fn }) => fn.sum<number | null>('bytes').as('n'))
        .as('bytes'),
      eb
        .selectFrom('loose_blobs')
        .select(({ fn }) => fn.countAll<number>().as('n'))
        .as('loose'),
    ])
    .executeTakeFirstOrThrow()
  return { files: files ?? 0, bytes: bytes ?? 0, loose: loose ?? 0 }
}

export interface HeldBlob {
  /** The id of a file, or of an Upload that has the blob as a part. */
  readonly holder: string
  readonly blob_id: string
  readonly bytes: number
}

/** The blobs that are held and whose ids begin with `prefix`, each once. */
export async function listHeldBlobs(
  db: Database,
  { prefix }: { prefix: string },
): Promise<HeldBlob[]> {
  return heldBlobs(db)
    .where('blob_id', '>=', prefix)
    .where('blob_id', '<', `${prefix}~`)
    .select(['holder', 'blob_id', 'bytes'])
    .execute()
}

export async function isHeldBlob(db: Database, { blob_id }: { blob_id: string }): Promise<boolean> {
  const row = await heldBlobs(db)
    .where('blob_id', '=', blob_id)
    .select('blob_id')
    .executeTakeFirst()
  return row !== undefined
}

/** Blobs that are held and that the sweep may have all the same. */
export async function listHeldLooseBlobs(
  db: Database,
): Promise<{ holder: string; blob_id: string }[]> {
  return heldBlobs(db)
    .where('blob_id', 'in', (eb) => eb.selectFrom('loose_blobs').select('blob_id'))
    .select(['holder', 'blob_id'])
    .execute()
}

/** By files and by parts; a blob that stands in its file more than once is there once. */
function heldBlobs(db: Database) {
  const bySegments = db.selectFrom('segments').select(['file_id as holder', 'blob_id', 'bytes'])
  const byParts = db.selectFrom('parts').select(['upload_id as holder', 'blob_id', 'bytes'])
  return db.selectFrom(bySegments.union(byParts).as('held'))
}

export interface Miscount {
  readonly organization_id: string
  readonly counted: number
  readonly found: number
}

/** Organizations whose usage is not the sum of their files and pending Uploads. */
export async function listMiscounts(db: Database): Promise<Miscount[]> {
  return db
    .selectFrom('organizations')
    .select(({ eb, selectFrom }) => [
      'id as organization_id',
      'used_bytes as counted',
      eb(
        eb.fn.coalesce(
          selectFrom('files')
            .whereRef('files.organization_id', '=', 'organizations.id')
            .select(({ fn }) => fn.sum<number>('files.bytes').as('n')),
          eb.lit(0),
        ),
        '+',
        eb.fn.coalesce(
          selectFrom('uploads')
            .whereRef('uploads.organization_id', '=', 'organizations.id')
            .where('uploads.status', '=', 'pending')
            .select(({ fn }) => fn.sum<number>('uploads.bytes').as('n')),
          eb.lit(0),
        ),
      )
        .$castTo<number>()
        .as('found'),
    ])
    .$call((query) => db.selectFrom(query.as('usage')))
    .whereRef('counted', '<>', 'found')
    .selectAll()
    .execute()
}

/** Files whose size is not the sum of their segments. */
export async function listMissizedFiles(
  db: Database,
): Promise<{ file_id: string; bytes: number; found: number }[]> {
  return db
    .selectFrom('files')
    .leftJoin('segments', 'segments.file_id', 'files.id')
    .groupBy('files.sequence')
    .having(({ eb, fn }) =>
      eb(fn.coalesce(fn.sum<number>('segments.bytes'), eb.lit(0)), '<>', eb.ref('files.bytes')),
    )
    .select(({ eb, fn }) => [
      'files.id as file_id',
      'files.bytes',
      fn.coalesce(fn.sum<number>('segments.bytes'), eb.lit(0)).$castTo<number>().as('found'),
    ])
    .execute()
}

export async function listDamagedFiles(
  db: Database,
): Promise<{ file_id: string; damaged_at: number }[]> {
  const rows = await db
    .selectFrom('files')
    .where('damaged_at', 'is not', null)
    .orderBy('sequence')
    .select(['id as file_id', 'damaged_at'])
    .execute()
  return rows.map(({ file_id, damaged_at }) => ({ file_id, damaged_at: damaged_at ?? 0 }))
}

export interface NotedOrphan {
  readonly blob_id: string
  readonly quarantined_at: number | null
}

export async function listNotedOrphans(
  db: Database,
  { prefix }: { prefix: string },
): Promise<NotedOrphan[]> {
  return db
    .selectFrom('orphans')
    .where('blob_id', '>=', prefix)
    .where('blob_id', '<', `${prefix}~`)
    .select(['blob_id', 'quarantined_at'])
    .execute()
}

export interface WholeFile {
  readonly sequence: number
  readonly id: string
  readonly sha256: string
  readonly segments: readonly Segment[]
}

/** At most `limit` files of all projects behind a sequence, with what they hold. */
export async function listWholeFiles(
  db: Database,
  { after, limit }: { after: number; limit: number },
): Promise<WholeFile[]> {
  const files = await db
    .selectFrom('files')
    .where('sequence', '>', after)
    .orderBy('sequence')
    .limit(limit)
    .select(['sequence', 'id', 'sha256'])
    .execute()
  const whole: WholeFile[] = []
  for (const file of files) {
    whole.push({ ...file, segments: await listSegmentsOf(db, file.id) })
  }
  return whole
}

export async function findWholeFile(
  db: Database,
  { id }: { id: string },
): Promise<Pick<WholeFile, 'sha256' | 'segments'> | undefined> {
  const file = await db.selectFrom('files').where('id', '=', id).select('sha256').executeTakeFirst()
  return file && { ...file, segments: await listSegmentsOf(db, id) }
}

async function listSegmentsOf(db: Database, file_id: string): Promise<Segment[]> {
  return db
    .selectFrom('segments')
    .where('file_id', '=', file_id)
    .orderBy('position')
    .select(['blob_id', 'bytes', 'checksums'])
    .execute()
}

export async function isFile(db: Database, { id }: { id: string }): Promise<boolean> {
  const row = await db.selectFrom('files').where('id', '=', id).select('id').executeTakeFirst()
  return row !== undefined
}

/** Makes the usage of every organization the sum of its files and pending Uploads. */
export async function recountUsage(db: Database): Promise<void> {
  for (const { organization_id, found } of await listMiscounts(db)) {
    await db
      .updateTable('organizations')
      .set({ used_bytes: found })
      .where('id', '=', organization_id)
      .execute()
  }
}

/** Marks a file of any project as damaged, unless it is marked already. */
export async function markDamaged(
  db: Database,
  { id, now }: { id: string; now: number },
): Promise<void> {
  await db
    .updateTable('files')
    .set({ damaged_at: now })
    .where('id', '=', id)
    .where('damaged_at', 'is', null)
    .execute()
}

/** Takes the mark from a file whose bytes are what was stored. */
export async function unmarkDamaged(db: Database, { id }: { id: string }): Promise<void> {
  await db.updateTable('files').set({ damaged_at: null }).where('id', '=', id).execute()
}

/** Shows an orphan to the sweep, which brings it on its way. */
export async function addOrphan(
  db: Database,
  { blob_id, now }: { blob_id: string; now: number },
): Promise<void> {
  await db
    .insertInto('orphans')
    .values({ blob_id, seen_at: now, quarantined_at: null })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Keeps a blob that a file holds from the sweep. */
export async function dropLooseBlob(db: Database, { blob_id }: { blob_id: string }): Promise<void> {
  await db.deleteFrom('loose_blobs').where('blob_id', '=', blob_id).execute()
}
