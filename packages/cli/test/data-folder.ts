/** What lies in a data folder, seen beside the running server or after it. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'

const Row = z.object({ blob_id: z.string() })

/** Where the bytes of a file of one segment are. */
export function findBlob(folder: string, file: string): string {
  using database = openRows(folder)
  const row = database.prepare('select blob_id from segments where file_id = ?').get(file)
  const { blob_id } = Row.parse(row)
  return join(folder, 'blobs', blob_id.slice(0, 2), blob_id)
}

/** Blobs that files hold, and blobs that none does. */
export function listRows(folder: string): { held: string[]; loose: string[] } {
  using database = openRows(folder)
  const list = (table: 'segments' | 'loose_blobs') =>
    Row.array()
      .parse(database.prepare(`select blob_id from ${table} order by blob_id`).all())
      .map(({ blob_id }) => blob_id)
  return { held: list('segments'), loose: list('loose_blobs') }
}

/** The blobs on the disk, in order, and the drafts of those that are being written. */
export async function listDisk(folder: string): Promise<{ blobs: string[]; drafts: string[] }> {
  const entries = await readdir(join(folder, 'blobs'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name !== 'LOCK')
  const inDrafts = ({ parentPath }: { parentPath: string }) => parentPath.endsWith('tmp')
  return {
    blobs: files
      .filter((file) => !inDrafts(file))
      .map(({ name }) => name)
      .sort(),
    drafts: files.filter(inDrafts).map(({ name }) => name),
  }
}

function openRows(folder: string): DatabaseSync {
  return new DatabaseSync(join(folder, 'coffer.db'), { readOnly: true, timeout: 5000 })
}
