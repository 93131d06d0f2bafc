/** A connection to SQLite as Kysely wants it. */

import type { SQLInputValue, StatementSync } from 'node:sqlite'
import { Kysely, SqliteDialect, type SqliteStatement } from 'kysely'
import type { SqliteConnection } from '../sqlite/connection.ts'
import type { Database, Tables } from './tables.ts'

export function toDatabase(connection: SqliteConnection): Database {
  const statements = new WeakMap<StatementSync, SqliteStatement>()

  function prepare(sql: string): SqliteStatement {
    const statement = connection.prepare(sql)
    const known = statements.get(statement)
    if (known !== undefined) return known
    const made = asKyselyStatement(statement)
    statements.set(statement, made)
    return made
  }

  const close = () => connection[Symbol.dispose]()
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: { prepare, close } }) })
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
