/** Brings a PostgreSQL database to the schema of this version: numbered files, each run once. */

import { readFileSync } from 'node:fs'
import { listMigrations, requireCurrent, requireKnown } from '../sqlite/migrations.ts'
import type { PostgresConnection } from './postgres-client.ts'

// The same place seen from src/metadata and from dist/metadata.
const folder = new URL('../../migrations/postgres-metadata/', import.meta.url)

/** Any number, the same for all servers on one database, and another one than of other locks. */
const migrationLock = 0x636f_666d

/**
 * Servers that start at once wait for the first of them. Those that run meanwhile go on.
 *
 * @param connection without time-outs: to change a large table may take long.
 * @throws if the database was written by a newer Coffer, whose schema this one does not know.
 */
export async function migratePostgres(connection: PostgresConnection): Promise<void> {
  await connection.query('begin')
  await connection.query('select pg_advisory_xact_lock($1)', [migrationLock])
  await connection.query('create table if not exists coffer_schema (version bigint not null)')
  const done = await versionOf(connection)
  const files = listMigrations(folder)
  requireKnown(done, files.length)
  for (const file of files.slice(done)) {
    await connection.query(readFileSync(new URL(file, folder), 'utf8'))
  }
  if (done < files.length) {
    await connection.query('delete from coffer_schema')
    await connection.query('insert into coffer_schema values ($1)', [files.length])
  }
  await connection.query('commit')
}

/** Whether the database has no tables of ours. */
export async function isPostgresNew(connection: PostgresConnection): Promise<boolean> {
  const { rows } = await connection.query("select to_regclass('coffer_schema') is null as is_new")
  return rows[0]?.is_new === true
}

export async function isPostgresMigrated(connection: PostgresConnection): Promise<boolean> {
  if (await isPostgresNew(connection)) return false
  return (await versionOf(connection)) === listMigrations(folder).length
}

/**
 * For who must not migrate, as older servers may run.
 *
 * @throws if the database has not the schema of this version, with what to do.
 */
export async function requirePostgresMigrated(connection: PostgresConnection): Promise<void> {
  if (await isPostgresNew(connection)) throw new Error('There is no store in the database.')
  requireCurrent(await versionOf(connection), listMigrations(folder).length)
}

async function versionOf(connection: PostgresConnection): Promise<number> {
  const { rows } = await connection.query('select max(version) as version from coffer_schema')
  return rows[0]?.version ?? 0
}
