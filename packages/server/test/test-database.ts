/** A database of a test's own, on a real PostgreSQL. */

import { lend } from './lend.ts'
import { type PostgresAccess, postgresAt, type TestDatabase } from './postgres-server.ts'

let server: Promise<PostgresAccess> | undefined

/**
 * An empty database, dropped in the end, also from under those who still use it.
 * TEST_POSTGRES_URL names a server that runs, by a user who may create databases.
 */
export async function makeDatabase(): Promise<TestDatabase> {
  server ??= (async () => {
    const given = process.env['TEST_POSTGRES_URL']
    return postgresAt(given ?? (await lend<{ url: string }>('postgres')).url)
  })()
  return (await server).makeDatabase()
}
