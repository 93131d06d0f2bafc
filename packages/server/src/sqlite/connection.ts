/** One connection to a SQLite database through `node:sqlite`. */

import { DatabaseSync, type StatementSync } from 'node:sqlite'

/** Statements are few: each query of each operation, with its optional parts. */
const cachedStatements = 256

/** A reader waits only while the writer restarts the log; nobody else may write. */
export const busyMilliseconds = 5000

export interface SqliteConnection extends Disposable {
  /** The statement, compiled once however often it is asked for. */
  prepare(sql: string): StatementSync
  /** Runs statements that give no rows. */
  exec(sql: string): void
  pragma(name: string): unknown
  inTransaction(): boolean
}

export function openSqliteConnection(
  path: string,
  options: { readOnly: boolean },
): SqliteConnection {
  const database = new DatabaseSync(path, { readOnly: options.readOnly })
  database.exec(`pragma busy_timeout = ${busyMilliseconds}; pragma foreign_keys = on`)
  const statements = new Map<string, StatementSync>()

  return {
    prepare(sql) {
      const cached = statements.get(sql)
      if (cached !== undefined) return cached
      const statement = database.prepare(sql)
      // Statements with lists of values come in many lengths; the cache starts anew before it grows.
      if (statements.size === cachedStatements) statements.clear()
      statements.set(sql, statement)
      return statement
    },
    exec: (sql) => database.exec(sql),
    pragma(name) {
      const row = database.prepare(`pragma ${name}`).get()
      return row === undefined ? undefined : Object.values(row)[0]
    },
    inTransaction: () => database.isTransaction,
    [Symbol.dispose]() {
      database.close()
    },
  }
}
