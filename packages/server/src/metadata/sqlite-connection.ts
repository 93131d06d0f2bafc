/** One connection to a SQLite database through `node:sqlite`, as Kysely wants it. */

import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { Kysely, SqliteDialect, type SqliteStatement } from 'kysely'
import type { Database, Tables } from './tables.ts'

/** Statements are few: each query of each operation, with its optional parts. */
const cachedStatements = 256

export interface SqliteConnection extends Disposable {
  readonly db: Database
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
  // A reader waits only while the writer restarts the log; nobody else may write.
  database.exec('pragma busy_timeout = 5000; pragma foreign_keys = on')
  const statements = new Map<string, SqliteStatement>()

  function prepare(sql: string): SqliteStatement {
    const cached = statements.get(sql)
    if (cached !== undefined) return cached
    const statement = asKyselyStatement(database.prepare(sql))
    // Statements with lists of values come in many lengths; the cache starts anew before it grows.
    if (statements.size === cachedStatements) statements.clear()
    statements.set(sql, statement)
    return statement
  }

  return {
    db: new Kysely<Tables>({
      dialect: new SqliteDialect({ database: { prepare, close: () => database.close() } }),
    }),
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

function asKyselyStatement(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (values) => statement.all(...values.map(asInput)),
    run: (values) => statement.run(...values.map(asInput)),
    iterate: (values) => statement.iterate(...values.map(asInput)),
  }
}

function asInput(value: unknown): SQLInputValue {
  if (value === null || typeof value === 'string' || typeof value === 'bigint') return value
  if (typeof value === 'number' || value instanceof Uint8Array) return value
  throw new TypeError(`SQLite takes no ${typeof value}.`)
}
