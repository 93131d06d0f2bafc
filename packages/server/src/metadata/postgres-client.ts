/** Connections to PostgreSQL: how they are made, and what they give for its types. */

import { Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely'
import pg from 'pg'
import { ConnectionLost } from './postgres-faults.ts'
import type { Database, Tables } from './tables.ts'

/** In milliseconds. None of them is reached but by a database that does not work, or is far too slow. */
export interface PostgresTimes {
  /** Until a connection is there, be it one of the pool that others have. */
  readonly connect: number
  /** For one statement, by the database. */
  readonly statement: number
  /** For one statement, where the database does not even say that it took too long. */
  readonly answer: number
  /** For a lock that another transaction has. */
  readonly lock: number
  /** For which a transaction may be left without a statement. */
  readonly idleInTransaction: number
}

export const standardTimes: PostgresTimes = {
  connect: 3000,
  statement: 4000,
  answer: 4500,
  lock: 3000,
  idleInTransaction: 10_000,
}

/** For what may take long, and what nobody waits for. */
export const noTimes: PostgresTimes = {
  connect: 0,
  statement: 0,
  answer: 0,
  lock: 0,
  idleInTransaction: 0,
}

/** Those of PostgreSQL that have another value here than `pg` gives. */
const parsers = new Map<number, (text: string) => unknown>([
  [pg.types.builtins.INT8, toSafeNumber],
  // Of sums of int8.
  [pg.types.builtins.NUMERIC, toSafeNumber],
  [pg.types.builtins.BYTEA, (text) => Uint8Array.fromHex(text.slice('\\x'.length))],
])

const types: pg.CustomTypesConfig = {
  getTypeParser: (type, format) =>
    parsers.get(type) ?? pg.types.getTypeParser(type, format === 'binary' ? 'binary' : 'text'),
}

/**
 * @param url as libpq takes it (https://www.postgresql.org/docs/current/libpq-connect.html), with its
 *   `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
 */
export function clientConfig(url: string, times: PostgresTimes): pg.PoolConfig {
  const asLibpq = new URL(url)
  asLibpq.searchParams.set('uselibpqcompat', 'true')
  // By ours a server finds its former connections.
  asLibpq.searchParams.delete('application_name')
  return {
    connectionString: asLibpq.href,
    application_name: 'coffer',
    types,
    keepAlive: true,
    connectionTimeoutMillis: times.connect,
    query_timeout: times.answer,
  }
}

/** Not among the parameters of a connection, which poolers refuse that do not know them. */
function setTimes({ statement, lock, idleInTransaction }: PostgresTimes): string {
  return (
    `set statement_timeout = ${statement}; set lock_timeout = ${lock}; ` +
    `set idle_in_transaction_session_timeout = ${idleInTransaction}`
  )
}

/** One that does one thing after the other, and is sent them without waiting for the answers. */
export interface PostgresConnection {
  readonly db: Database
  /** Sends a statement at once, behind all that were sent before. */
  query(sql: string, values?: unknown[]): Promise<pg.QueryResult>
  close(): Promise<void>
}

export interface ConnectOptions {
  readonly times: PostgresTimes
  /** Of those of PostgreSQL's views, in place of `coffer`. */
  readonly name?: string
}

/** @throws ConnectionLost; pg.DatabaseError where the database does not let us in. */
export async function connectPostgres(
  url: string,
  { times, name = 'coffer' }: ConnectOptions,
): Promise<PostgresConnection> {
  const client = new pg.Client({
    ...clientConfig(url, times),
    application_name: name,
    pipeline: true,
  })
  // Whoever waits for an answer is told, and a later statement fails, too.
  client.on('error', () => {})
  await client.connect().catch(rethrow)
  const query = (text: string, values?: unknown[]) =>
    client.query(text, asPossible(values)).catch(rethrow)
  await query(setTimes(times))
  const asPool = {
    connect: async () => asPoolClient(query, () => {}),
    end: async () => {},
    options: {},
  }
  return {
    db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool: asPool }) }),
    query,
    close: () => client.end(),
  }
}

/** Connections of which each query takes any that is free. */
export interface PostgresPool {
  readonly db: Database
  close(): Promise<void>
}

/** @param most of the connections. */
export function openPostgresPool(url: string, most: number, times: PostgresTimes): PostgresPool {
  const pool = new pg.Pool({
    ...clientConfig(url, times),
    max: most,
    // A standby behind the same name would give rows of the past.
    verify(client, done) {
      client
        .query(`${setTimes(times)}; select pg_is_in_recovery() as standby`)
        .then(requirePrimary)
        .then(() => done(), done)
    },
  })
  // Of a connection that nobody uses. Another one is made when it is needed.
  pool.on('error', () => {})
  // Of one that is used, whose user is told by the query.
  pool.on('connect', (client) => client.on('error', () => {}))

  async function connect(): Promise<PostgresPoolClient> {
    const client = await pool.connect().catch(rethrow)
    let isLost = false
    return asPoolClient(
      (text, values) =>
        client.query(text, asPossible(values)).catch((error: unknown) => {
          // One that waits for an answer that never comes would let the next query wait behind it.
          isLost = !(error instanceof pg.DatabaseError)
          return rethrow(error)
        }),
      () => client.release(isLost),
    )
  }
  return {
    db: new Kysely<Tables>({
      dialect: new PostgresDialect({ pool: { connect, end: async () => {}, options: {} } }),
    }),
    close: () => pool.end(),
  }
}

/** @param results of several statements, of which the last asks whether it is a standby. */
function requirePrimary(results: unknown): void {
  const last = Array.isArray(results) ? results.at(-1) : results
  if (last?.rows[0]?.standby !== false) throw new Error('The database is a standby.')
}

function asPoolClient(query: PostgresConnection['query'], release: () => void): PostgresPoolClient {
  // Without cursors, for which nothing asks.
  return { query, release } as unknown as PostgresPoolClient
}

/** The database refuses any text with a NUL. None is to be stored; an id with one is asked for as one that is not there. */
function asPossible(values: unknown[] | undefined): unknown[] | undefined {
  return values?.map((value) =>
    typeof value === 'string' ? value.replaceAll('\0', '\uffff') : value,
  )
}

/** What the database itself did not say, nobody said: `pg` has no class for its other errors. */
function rethrow(error: unknown): never {
  const isOurs = error instanceof TypeError || error instanceof RangeError
  if (isOurs || error instanceof pg.DatabaseError) throw error
  throw new ConnectionLost('The connection to PostgreSQL is lost.', { cause: error })
}

function toSafeNumber(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number)) return number
  throw new RangeError(`The database gave a number that is not exact here: ${text}.`)
}
