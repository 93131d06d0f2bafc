/**
 * What operations ask of the database that they run on. SQLite has one writer at a time, so that no
 * operation ever sees another half done. PostgreSQL has many, so there each first locks what it changes.
 */

import { SqliteAdapter, sql } from 'kysely'
import type { Database } from './tables.ts'

/** Any number, the same for all servers on one database. */
const storeLock = 0x636f_6666

export function hasManyWriters(db: Database): boolean {
  return !(db.getExecutor().adapter instanceof SqliteAdapter)
}

/**
 * Keeps other writers from the rows of these organizations until the end of the transaction: their
 * usage, files, Uploads and parts.
 *
 * @returns those that no other writer keeps now.
 */
export async function lockOrganizations(
  db: Database,
  owned: readonly { readonly organization_id: string }[],
): Promise<string[]> {
  const ids = [...new Set(owned.map(({ organization_id }) => organization_id))]
  if (!hasManyWriters(db)) return ids
  const locked = await db
    .selectFrom('organizations')
    .where('id', 'in', ids)
    .orderBy('id')
    .forNoKeyUpdate()
    .skipLocked()
    .select('id')
    .execute()
  return locked.map(({ id }) => id)
}

/** Keeps other operations that call this waiting until the end of the transaction; they are rare ones. */
export async function lockStore(db: Database): Promise<void> {
  if (!hasManyWriters(db)) return
  await sql`select pg_advisory_xact_lock(${storeLock})`.execute(db)
}

/**
 * Names the cluster and its timeline: another one after a fail-over or a restored backup, when rows that
 * were committed may be gone. Null where the database has no such thing, or does not tell; then a transaction
 * is broken by this.
 */
export async function findHistory(db: Database): Promise<string | null> {
  if (!hasManyWriters(db)) return null
  try {
    const { rows } = await sql<{ history: string }>`
      select system_identifier || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) as history
      from pg_control_system()`.execute(db)
    return rows[0]?.history ?? null
  } catch (error) {
    if (error instanceof Error && 'code' in error && doesNotTell.has(error.code)) return null
    throw error
  }
}

/** By the clock of the machine that all servers share, in Unix seconds; null where that is this one. */
export async function findTime(db: Database): Promise<number | null> {
  if (!hasManyWriters(db)) return null
  const { rows } = await sql<{ time: number }>`
    select extract(epoch from clock_timestamp())::bigint as time`.execute(db)
  return rows[0]?.time ?? null
}

/** What databases say that have no such functions, or only for their operators. */
const doesNotTell = new Set<unknown>([
  '0A000', // feature not supported
  '42501', // insufficient privilege
  '42883', // undefined function
])
