/** The rows of a SQLite store as a tool sees them, beside the server that writes them or without. */

import { openSqliteConnection, type SqliteConnection } from '../sqlite/connection.ts'
import { requireMigrated } from '../sqlite/migrations.ts'
import { toDatabase } from './sqlite-database.ts'
import type { Database } from './tables.ts'

// The same place seen from src/metadata and from dist/metadata.
export const migrations = new URL('../../migrations/sqlite-metadata/', import.meta.url)

export interface SqliteRows extends Disposable {
  readonly db: Database
  readonly connection: SqliteConnection
}

/**
 * Opens the database at `path`, which must be there.
 *
 * @param options.readOnly false only for who has the store for itself.
 * @throws if its schema is not that of this version.
 */
export function openSqliteRows(path: string, options: { readOnly: boolean }): SqliteRows {
  const connection = openSqliteConnection(path, options)
  try {
    requireMigrated(connection, migrations)
    // As the writer of a server: what is told to be done must outlast a power cut.
    if (!options.readOnly) connection.exec('pragma synchronous = full; pragma fullfsync = 1')
  } catch (error) {
    connection[Symbol.dispose]()
    throw error
  }
  return {
    db: toDatabase(connection),
    connection,
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  }
}

/** Copies the rows as they are at one moment to a new database, whose file is not synced yet. */
export function copySqliteRows(from: string, to: string): void {
  using rows = openSqliteRows(from, { readOnly: true })
  // A backup page by page begins anew whenever a server commits, and may never end.
  rows.connection.prepare('vacuum into ?').run(to)
}
