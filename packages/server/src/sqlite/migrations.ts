/** Brings a SQLite database to the schema of this version: numbered files, each run once. */

import { readdirSync, readFileSync } from 'node:fs'
import type { SqliteConnection } from './connection.ts'

/**
 * @param folder of the migrations, in the order of their names.
 * @throws if the database was written by a newer Coffer, whose schema this one does not know.
 */
export function migrateSqlite(connection: SqliteConnection, folder: URL): void {
  const files = listMigrations(folder)
  const done = countDone(connection, files.length)
  files.forEach((file, index) => {
    if (index < done) return
    const sql = readFileSync(new URL(file, folder), 'utf8')
    connection.exec(`begin immediate; ${sql}; pragma user_version = ${index + 1}; commit`)
  })
}

/**
 * For who only looks, and so cannot migrate.
 *
 * @throws if the database has not the schema of this version, with what to do.
 */
export function requireMigrated(connection: SqliteConnection, folder: URL): void {
  const done = Number(connection.pragma('user_version'))
  requireCurrent(done, listMigrations(folder).length)
}

/** @throws if a database of schema `done` is not of that which this Coffer knows. */
export function requireCurrent(done: number, known: number): void {
  requireKnown(done, known)
  if (done === known) return
  throw new Error('The database was written by an older Coffer. Start this one once: coffer serve.')
}

/** The names of the migrations in a folder, in their order. */
export function listMigrations(folder: URL): string[] {
  return readdirSync(folder).sort()
}

function countDone(connection: SqliteConnection, known: number): number {
  const done = Number(connection.pragma('user_version'))
  requireKnown(done, known)
  return done
}

/** @throws if a database of schema `done` was written by a newer Coffer than this, which knows `known`. */
export function requireKnown(done: number, known: number): void {
  if (done <= known) return
  throw new Error(
    `The database has schema ${done}, and this Coffer knows ${known} at most. ` +
      'Start the newer Coffer that wrote it.',
  )
}
