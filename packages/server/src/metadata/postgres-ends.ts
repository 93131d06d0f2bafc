/** PostgreSQL as an end of a migration. */

import { MetadataError } from './metadata-error.ts'
import { keepDatabase, requireUsable } from './postgres.ts'
import {
  connectPostgres,
  noTimes,
  type PostgresConnection,
  standardTimes,
} from './postgres-client.ts'
import { faultOf } from './postgres-faults.ts'
import { isPostgresNew, migratePostgres, requirePostgresMigrated } from './postgres-migrations.ts'
import type { SourceRows, TargetRows } from './row-ends.ts'

/** To read many rows, or to write them, may take long. Not to connect, or to wait for another process. */
const times = { ...noTimes, connect: standardTimes.connect, lock: standardTimes.lock }

/** @throws if its schema is not that of this version: to change it is its server's to do. */
export async function openPostgresSource(url: string): Promise<SourceRows> {
  const connection = await connectPostgres(url, { times, name: 'coffer migrate' })
  try {
    await requirePostgresMigrated(connection)
  } catch (error) {
    await connection.close()
    throw error
  }
  return {
    db: connection.db,
    async atOneMoment(look) {
      const other = await connectPostgres(url, { times, name: 'coffer migrate' })
      try {
        await other.query('begin isolation level repeatable read read only')
        return await look(other.db)
      } finally {
        await other.close()
      }
    },
    [Symbol.asyncDispose]: () => connection.close(),
  }
}

/**
 * Takes a database for this process, and makes its tables where there are none.
 *
 * @throws if a server or another migration has it, or if its schema is not that of this version.
 */
export async function openPostgresTarget(
  url: string,
  warn: (message: string) => void,
): Promise<TargetRows> {
  const connection = await connectPostgres(url, { times, name: 'coffer migrate' })
  try {
    await requireUsable(connection, warn)
    await keepDatabase(connection, false).catch((cause: unknown) => {
      if (!(cause instanceof MetadataError)) throw cause
      throw new Error('The database is in use by a server, or by another coffer migrate.', {
        cause,
      })
    })
    if (await isPostgresNew(connection)) await migratePostgres(connection)
    await requirePostgresMigrated(connection)
    await connection.query('set synchronous_commit = on')
  } catch (error) {
    await connection.close()
    throw error
  }
  return {
    db: connection.db,
    async together(change) {
      await connection.query('begin')
      try {
        const result = await change()
        const { command } = await connection.query('commit')
        // So it is done where a statement failed.
        if (command !== 'COMMIT') throw new Error(`PostgreSQL answered a commit with ${command}.`)
        return result
      } catch (error) {
        // Of a connection that is lost nothing is committed.
        if (faultOf(error) !== 'lost') await rollBack(connection)
        throw error
      }
    },
    [Symbol.asyncDispose]: () => connection.close(),
  }
}

async function rollBack(connection: PostgresConnection): Promise<void> {
  await connection.query('rollback').catch(() => {})
}
