/** Brings a SQLite database to the schema of this version: numbered files, each run once. */

import { readdirSync, readFileSync } from 'node:fs'
import type { SqliteConnection } from './connection.ts'

/**
 * @param folder of the migrations, in the order of their names.
 * @throws if the database was written by a newer Coffer, whose schema this one does not know.
 */
export function migrateSqlite(connection: SqliteConnection, folder: URL): void {
  const files = readdirSync(folder).sort()
  const done = Number(connection.pragma('user_version'))
  if (done > files.length) {
    throw new Error(
      `The database has schema ${done}, and this Coffer knows ${files.length} at most. ` +
        'Start the newer Coffer that wrote it.',
    )
  }
  files.forEach((file, index) => {
    if (index < done) return
    const sql = readFileSync(new URL(file, folder), 'utf8')
    connection.exec(`begin immediate; ${sql}; pragma user_version = ${index + 1}; commit`)
  })
}
