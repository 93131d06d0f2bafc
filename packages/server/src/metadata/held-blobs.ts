/** All blobs that files and parts of Uploads hold, with what is known of their content. */

import type { Database } from './tables.ts'

export interface KnownHeldBlob {
  /** The id of a file, or of an Upload that has the blob as a part. */
  readonly holder: string
  readonly blob_id: string
  readonly bytes: number
  /** Of its blocks; none where it was written before there were any. */
  readonly checksums: Uint8Array
  /** Of all of it; empty where only that of a whole file is known, of which it is a part, or none. */
  readonly sha256: string
}

/** Rows of one query: each may have the checksums of a large blob. */
const pageRows = 200

/** Those whose ids begin with `prefix`, two hexadecimal digits, each once. */
export async function* walkHeldBlobs(
  db: Database,
  { prefix }: { prefix: string },
): AsyncGenerator<KnownHeldBlob> {
  yield* inPages(prefix, (behind, end) => listOfFiles(db, behind, end))
  yield* inPages(prefix, (behind, end) => listOfUploads(db, behind, end))
}

async function* inPages(
  prefix: string,
  list: (behind: string, end: string) => Promise<KnownHeldBlob[]>,
): AsyncGenerator<KnownHeldBlob> {
  let behind = prefix
  for (;;) {
    const page = await list(behind, `${prefix}~`)
    for (const blob of page) {
      // One that stands in its file more than once comes as often.
      if (blob.blob_id !== behind) yield blob
      behind = blob.blob_id
    }
    if (page.length < pageRows) return
  }
}

async function listOfFiles(db: Database, behind: string, end: string): Promise<KnownHeldBlob[]> {
  const rows = await db
    .selectFrom('segments')
    .innerJoin('files', 'files.id', 'segments.file_id')
    .where('segments.blob_id', '>', behind)
    .where('segments.blob_id', '<', end)
    .orderBy('segments.blob_id')
    .limit(pageRows)
    .select([
      'files.id as holder',
      'segments.blob_id',
      'segments.bytes',
      'segments.checksums',
      'files.sha256',
      'files.bytes as file_bytes',
    ])
    .execute()
  return rows.map(({ file_bytes, sha256, ...blob }) => ({
    ...blob,
    sha256: blob.bytes === file_bytes ? sha256 : '',
  }))
}

async function listOfUploads(db: Database, behind: string, end: string): Promise<KnownHeldBlob[]> {
  return db
    .selectFrom('parts')
    .where('blob_id', '>', behind)
    .where('blob_id', '<', end)
    .orderBy('blob_id')
    .limit(pageRows)
    .select(['upload_id as holder', 'blob_id', 'bytes', 'checksums', 'sha256'])
    .execute()
}

/** How many files there are, and the bytes of all that is held. */
export async function countHeld(db: Database): Promise<{ files: number; bytes: number }> {
  const { files, bytes, arrived } = await db
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
        .selectFrom('parts')
        .select(({ fn }) => fn.sum<number | null>('bytes').as('n'))
        .as('arrived'),
    ])
    .executeTakeFirstOrThrow()
  return { files: files ?? 0, bytes: (bytes ?? 0) + (arrived ?? 0) }
}

/** What a file, or an Upload by its parts, holds, each blob once. */
export async function listBlobsOf(db: Database, { holder }: { holder: string }): Promise<string[]> {
  const rows = await db
    .selectFrom('segments')
    .where('file_id', '=', holder)
    .select('blob_id')
    .union(db.selectFrom('parts').where('upload_id', '=', holder).select('blob_id'))
    .execute()
  return rows.map(({ blob_id }) => blob_id)
}
