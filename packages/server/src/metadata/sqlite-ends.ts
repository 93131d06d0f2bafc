/** SQLite as an end of a migration. */

import { openSqliteConnection, type SqliteConnection } from '../sqlite/connection.ts'
import { migrateSqlite, requireMigrated } from '../sqlite/migrations.ts'
import type { SourceRows, TargetRows } from './row-ends.ts'
import { toDatabase } from './sqlite-database.ts'
import { migrations, openSqliteRows } from './sqlite-rows.ts'

/** @throws if its schema is not that of this version: to change it is its server's to do. */
export function openSqliteSource(path: string): SourceRows {
  const { db, connection } = openSqliteRows(path, { readOnly: true })
  return {
    db,
    async atOneMoment(look) {
      using rows = openSqliteRows(path, { readOnly: true })
      // The moment is that of the first look.
      rows.connection.exec('begin')
      return await look(rows.db)
    },
    async [Symbol.asyncDispose]() {
      connection[Symbol.dispose]()
    },
  }
}

/**
 * Opens or makes a database, which belongs to this process.
 *
 * @throws if it is there and has not the schema of this version.
 */
export function openSqliteTarget(path: string): TargetRows {
  const connection = openSqliteConnection(path, { readOnly: false })
  try {
    if (isNew(connection)) {
      // As a server makes it.
      connection.exec('pragma auto_vacuum = incremental; pragma journal_mode = wal')
      migrateSqlite(connection, migrations)
    }
    requireMigrated(connection, migrations)
    connection.exec('pragma synchronous = full; pragma fullfsync = 1')
  } catch (error) {
    connection[Symbol.dispose]()
    throw error
  }
  return {
    db: toDatabase(connection),
    async together(change) {
      connection.exec('begin immediate')
      try {
        const result = await change()
        connection.exec('commit')
        return result
      } finally {
        if (connection.inTransaction()) connection.exec('rollback')
      }
    },
    async [Symbol.asyncDispose]() {
      connection[Symbol.dispose]()
    },
  }
}

function isNew({ pragma, prepare }: SqliteConnection): boolean {
  const table = prepare("select 1 from sqlite_schema where type = 'table' limit 1").get()
  return pragma('user_version') === 0 && table === undefined
}
