/** What lies in a data folder, seen beside the running server or after it. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'

const Row = z.object({ blob_id: z.string() })

/** Where the bytes of a file of one segment are, if it is too large for the database. */
export function findBlob(folder: string, file: string): string {
  using database = openRows(folder)
  const row = database.prepare('select blob_id from segments where file_id = ?').get(file)
  const { blob_id } = Row.parse(row)
  return join(folder, 'blobs', blob_id.slice(0, 2), blob_id)
}

export interface HeldAndLoose {
  /** Blobs of files. */
  readonly held: string[]
  /** How many files hold them. */
  readonly files: number
  /** Blobs of parts of Uploads. */
  readonly parts: string[]
  /** Blobs that neither holds. */
  readonly loose: string[]
}

export function listRows(folder: string): HeldAndLoose {
  using database = openRows(folder)
  const count = database.prepare('select count(distinct file_id) as files from segments').get()
  return {
    files: Number(count?.['files']),
    held: listIds(database, 'segments'),
    parts: listIds(database, 'parts'),
    loose: listIds(database, 'loose_blobs'),
  }
}

/** The blobs on the disk, in order, and the drafts of those that are being written. */
export async function listDisk(folder: string): Promise<{ blobs: string[]; drafts: string[] }> {
  const root = join(folder, 'blobs')
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  // Beside the folders of blobs there are only the lock and the database of small ones.
  const files = entries.filter((entry) => entry.isFile() && entry.parentPath !== root)
  const inDrafts = ({ parentPath }: { parentPath: string }) => parentPath.endsWith('tmp')
  const large = files.filter((file) => !inDrafts(file)).map(({ name }) => name)
  return {
    blobs: [...large, ...listSmallBlobs(root)].sort(),
    drafts: files.filter(inDrafts).map(({ name }) => name),
  }
}

function listSmallBlobs(root: string): string[] {
  using database = openReadOnly(join(root, 'small-blobs.db'))
  return listIds(database, 'blobs', 'id')
}

function listIds(
  database: DatabaseSync,
  table: 'segments' | 'parts' | 'loose_blobs' | 'blobs',
  column: 'blob_id' | 'id' = 'blob_id',
): string[] {
  const rows = database.prepare(`select ${column} as blob_id from ${table} order by 1`).all()
  return Row.array()
    .parse(rows)
    .map(({ blob_id }) => blob_id)
}

function openRows(folder: string): DatabaseSync {
  return openReadOnly(join(folder, 'coffer.db'))
}

function openReadOnly(path: string): DatabaseSync {
  return new DatabaseSync(path, { readOnly: true, timeout: 5000 })
}
