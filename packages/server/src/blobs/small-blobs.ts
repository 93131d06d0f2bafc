/**
 * Blobs as rows of a SQLite database, committed in groups. A small blob costs a share of a commit
 * there, instead of a file with three syncs of its own.
 */

import { startSqliteWriter } from '../sqlite/writer.ts'
import { siblingModule } from '../threads/thread.ts'
import { BlobError } from './blob-error.ts'
import { createSmallBlobRows } from './small-blob-rows.ts'

export interface SmallBlobs {
  /** Stores a blob durably. @throws BlobError `exists` */
  add(id: string, content: Uint8Array): Promise<void>
  /** The content, in a buffer of its own. */
  find(id: string): Uint8Array | undefined
  /** Removes a blob durably; its bytes may stay readable in the database until `tidy`. */
  remove(id: string): Promise<void>
  /** The ids that begin with `prefix`. */
  list(prefix: string): string[]
  /** Rejects if the database could not commit now. */
  check(): Promise<void>
  /** Gives back the room of removed blobs and makes their bytes unreadable. */
  tidy(): Promise<void>
  close(): Promise<void>
}

// The same place seen from src/blobs and from dist/blobs.
export const migrations = new URL('../../migrations/sqlite-small-blobs/', import.meta.url)

/** Opens or makes the database at `path`, which belongs to one process at a time. */
export async function openSmallBlobs(path: string): Promise<SmallBlobs> {
  const operations = siblingModule('small-blob-operations', import.meta.url)
  const writer = await startSqliteWriter({ name: 'coffer-small', path, operations, migrations })
  const { reader } = writer
  if (reader === undefined) throw new Error('Small blobs need a database in a file.')
  const rows = createSmallBlobRows(reader)
  // Perhaps by the process before this one, which ended before it tidied.
  let hasRemoved = true

  return {
    async add(id, content) {
      const added = await writer.run('add', [id, content])
      if (added !== true) throw new BlobError('exists', `Blob ${id} exists.`)
    },
    find: rows.find,
    list: (prefix) => rows.list(prefix).map(({ id }) => id),
    async remove(id) {
      hasRemoved = true
      await writer.run('remove', [id])
    },
    async check() {
      await writer.run('check', [])
    },
    async tidy() {
      if (!hasRemoved) return
      hasRemoved = false
      try {
        while ((await writer.run('vacuum', [])) === true);
        hasRemoved = !(await writer.checkpoint())
      } catch (error) {
        hasRemoved = true
        throw error
      }
    },
    close: () => writer.close(),
  }
}
