/**
 * The metadata store on PostgreSQL, which several servers may share: one connection writes in groups, others
 * read. The `pg` package is imported by the files named postgres alone, so that SQLite does not load it.
 */

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { MetadataError } from './metadata-error.ts'
import {
  createCalls,
  type MetadataStore,
  type OperationName,
  runOperation,
} from './metadata-store.ts'
import {
  type ConnectOptions,
  connectPostgres,
  noTimes,
  openPostgresPool,
  type PostgresConnection,
  type PostgresTimes,
  standardTimes,
} from './postgres-client.ts'
import { ConnectionLost, faultOf, toMetadataError } from './postgres-faults.ts'
import { isPostgresMigrated, migratePostgres } from './postgres-migrations.ts'
import { createPostgresWriter } from './postgres-writer.ts'

/** Of PostgreSQL: the oldest that its makers still maintain. */
const oldestVersion = 15

/** Any number, the same for all servers on one database, and another one than of other locks. */
const serverLock = 0x636f_6673

/** Milliseconds in which a call waits for a fail-over, and gives way to others, before it is refused. */
const standardPatience = 5000

export interface PostgresOptions {
  /** As libpq takes it. */
  readonly url: string
  /** The most connections for reads, beside the one for writes. */
  readonly connections: number
  /** Whether other servers that share may write to the same database. Otherwise it is for this one. */
  readonly isShared: boolean
  /** Is told, in a sentence, what the operator should know of the database. */
  warn(message: string): void
  readonly times?: PostgresTimes
  readonly patience?: number
}

/**
 * Opens the database, which must be there, and brings its schema up to date.
 *
 * @throws Error with a sentence that says what is wrong with the database.
 */
export async function openPostgresStore(options: PostgresOptions): Promise<MetadataStore> {
  const { url, connections, times = standardTimes, patience = standardPatience } = options
  // So that it finds its former connections by it.
  const name = `coffer ${randomUUID()}`
  const connect = () => connectToWrite(options, { times, name })
  const writer = createPostgresWriter({ connect, patience, lockMilliseconds: times.lock })

  async function begin(): Promise<void> {
    await prepareDatabase(options)
    await writer.open()
  }

  await patiently(begin).catch((error: unknown) => {
    throw new Error(`The database of COFFER_METADATA_URL cannot be used: ${reasonOf(error)}`, {
      cause: error,
    })
  })
  const pool = openPostgresPool(url, connections, times)
  const begun = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined

  /** Lets calls through until the store closes, which then waits for them. */
  function track<Args extends unknown[], Result>(run: (...args: Args) => Promise<Result>) {
    return (...args: Args): Promise<Result> => {
      if (closing !== undefined) return Promise.reject(new Error('The metadata store is closed.'))
      const call = run(...args).finally(() => begun.delete(call))
      begun.add(call)
      return call
    }
  }

  async function settle(): Promise<void> {
    await Promise.allSettled(begun)
    await Promise.all([writer.close(), pool.close()])
  }

  /** Tries again what another connection may do better. */
  async function patiently<Result>(run: () => Promise<Result>): Promise<Result> {
    const deadline = performance.now() + patience
    for (;;) {
      try {
        return await run()
      } catch (error) {
        const fault = faultOf(error)
        const mayHelp = fault === 'lost' || fault === 'again'
        if (!mayHelp || performance.now() > deadline) throw toMetadataError(error)
      }
      await delay(50)
    }
  }

  const read = (name: OperationName, args: unknown[]) =>
    patiently(() => runOperation(pool.db, name, args))

  async function checkNow(): Promise<void> {
    const reading = read('findKeyOwner', [{ digest: '' }])
    await Promise.all([reading, writer.run('touchStore', [])])
  }

  let checking: Promise<void> | undefined
  return {
    ...createCalls(track(read), track(writer.run)),
    // One commit for all who ask at once.
    check: track(() => {
      checking ??= checkNow().finally(() => {
        checking = undefined
      })
      return checking
    }),
    close() {
      closing ??= settle()
      return closing
    },
  }
}

async function connectToWrite(
  { url, isShared }: PostgresOptions,
  options: Required<ConnectOptions>,
): Promise<PostgresConnection> {
  const connection = await connectPostgres(url, options)
  try {
    const { rows } = await connection.query('select pg_is_in_recovery() as standby')
    if (rows[0]?.standby !== false) throw new ConnectionLost('The database is a standby.')
    // What a former one was doing has failed already, and it must keep neither locks nor its place: of one that
    // waits for a standby the database does not notice by itself that it is of no use any more.
    await connection.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = $1 and pid <> pg_backend_pid()`,
      [options.name],
    )
    // What is acknowledged must outlast a crash of the database, whatever its configuration says.
    await connection.query(
      `select set_config('synchronous_commit', 'on', false)
      where current_setting('synchronous_commit') = 'off'`,
    )
    await keepDatabase(connection, isShared)
    return connection
  } catch (error) {
    end(connection)
    throw error
  }
}

/** Not waited for: of a dead one the end would never come. */
function end(connection: PostgresConnection): void {
  connection.close().catch(() => {})
}

/**
 * Keeps the database for as long as the connection lasts: for all servers whose bytes are in S3, or for one.
 *
 * @throws if others keep it that cannot share it.
 */
export async function keepDatabase(
  connection: PostgresConnection,
  isShared: boolean,
): Promise<void> {
  // One whose other end is gone must not keep it for hours.
  await connection.query('set tcp_keepalives_idle = 10')
  await connection.query('set tcp_keepalives_interval = 5')
  await connection.query('set tcp_keepalives_count = 3')
  const lock = isShared ? 'pg_advisory_lock_shared' : 'pg_advisory_lock'
  await connection.query(`select ${lock}($1)`, [serverLock]).catch((cause: unknown) => {
    if (faultOf(cause) !== 'locked') throw cause
    throw new MetadataError(
      'unavailable',
      'it is in use by another Coffer, and only servers whose bytes are in S3 can share it',
    )
  })
}

/** @throws a sentence that says what is wrong, for who starts the server. */
async function prepareDatabase({
  url,
  warn,
  times = standardTimes,
}: PostgresOptions): Promise<void> {
  const isReady = await once(url, times, async (connection) => {
    await requireUsable(connection, warn)
    return isPostgresMigrated(connection)
  })
  // To change a large table may take long, and so may it that another server does.
  if (!isReady) await once(url, { ...noTimes, connect: times.connect }, migratePostgres)
}

/** Works with a connection, and ends it. */
async function once<Result>(
  url: string,
  times: PostgresTimes,
  work: (connection: PostgresConnection) => Promise<Result>,
): Promise<Result> {
  const connection = await connectPostgres(url, { times })
  try {
    return await work(connection)
  } finally {
    end(connection)
  }
}

/** @throws a sentence that says why rows cannot be kept there. */
export async function requireUsable(
  connection: PostgresConnection,
  warn: (message: string) => void,
): Promise<void> {
  const { rows } = await connection.query(
    `select current_setting('fsync') as fsync, current_setting('server_encoding') as encoding,
      current_setting('server_version_num')::int as version`,
  )
  const [{ fsync, encoding, version }] = rows
  if (encoding !== 'UTF8') {
    throw new Error(`it has the encoding ${encoding}; make one with the encoding UTF8`)
  }
  if (version < oldestVersion * 10_000) {
    throw new Error(
      `it is of PostgreSQL ${Math.trunc(version / 10_000)}; Coffer needs ${oldestVersion}`,
    )
  }
  if (fsync === 'off') {
    warn('PostgreSQL runs with fsync off: files that were acknowledged may be lost in a crash.')
  }
}

/** Of a fault on the way there, what the system says of it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isWrapped = error instanceof MetadataError || error instanceof ConnectionLost
  return isWrapped && error.cause !== undefined ? reasonOf(error.cause) : error.message
}
