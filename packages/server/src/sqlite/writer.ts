/**
 * Writes to a SQLite database from a thread of its own, which commits in groups: a flush of the
 * disk is shared by all who came while the last one ran. On the main thread each flush would stop
 * every request, as SQLite's commit is synchronous.
 */

import { once } from 'node:events'
import { getCompileCacheDir } from 'node:module'
import { dirname, extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { openSqliteConnection, type SqliteConnection } from './connection.ts'
import { writerFault } from './faults.ts'
import { identityOf } from './file-identity.ts'
import {
  type Answer,
  checkpoint,
  fromThreadError,
  type Request,
  type WriterData,
} from './messages.ts'

export interface Operations {
  /** Runs an operation by its name, inside a transaction. What it throws undoes what it wrote. */
  run(name: string, args: readonly unknown[]): unknown
  /** Those that are refused on a full disk, so that what is left of it serves to free some. */
  readonly growing: ReadonlySet<string>
}

/** What the module of a writer's operations exports under this very name. */
export type OpenOperations = (connection: SqliteConnection) => Operations

export interface WriterOptions {
  /** Of the database, or `:memory:`. The file belongs to this process, which its opener sees to. */
  readonly path: string
  /** The module with `openOperations`, beside whose source or build output this one stands. */
  readonly operations: URL
  /** The folder of the migrations that bring the schema up to date. */
  readonly migrations: URL
}

export interface SqliteWriter {
  /** Resolves once the operation is committed and durable; rejects with what it threw. */
  run(name: string, args: readonly unknown[]): Promise<unknown>
  /**
   * Folds the log into the database and empties it, so that nothing deleted stays in either.
   *
   * @returns whether it did: a reader may be in the way, and is not waited for.
   */
  checkpoint(): Promise<boolean>
  /** For look-ups beside the thread, of what is committed; a database in memory has no other connection. */
  readonly reader: SqliteConnection | undefined
  /** Ends both, which must have nothing left to do, and folds the log into the database. */
  close(): Promise<void>
}

/** The module of that name beside `from`, whether that runs from source or was built. */
export function siblingModule(name: string, from: string): URL {
  return new URL(`./${name}${extname(from)}`, from)
}

export async function startSqliteWriter(options: WriterOptions): Promise<SqliteWriter> {
  const { path, operations, migrations } = options
  const worker = new Worker(entryOf(siblingModule('writer-thread', import.meta.url)), {
    eval: true,
    workerData: {
      path,
      operations: operations.href,
      migrations: migrations.href,
    } satisfies WriterData,
  })
  await once(worker, 'message')
  const opened = identityOf(path)
  const reader = path === ':memory:' ? undefined : await openReader(path, worker)

  const pending = new Map<number, PromiseWithResolvers<unknown>>()
  let outbox: Request[] = []
  let lastId = 0
  let failure: Error | undefined
  const ended = Promise.withResolvers<void>()

  worker.on('message', (answers: Answer[]) => {
    for (const { id, value, error } of answers) {
      const call = pending.get(id)
      pending.delete(id)
      if (error === undefined) call?.resolve(value)
      else call?.reject(fromThreadError(error))
    }
  })
  worker.on('error', (error) => {
    fail(writerFault('stopped', 'The SQLite writer stopped.', { cause: error }))
  })
  worker.on('exit', () => {
    fail(writerFault('stopped', 'The SQLite writer stopped.'))
    ended.resolve()
  })

  function fail(error: Error): void {
    failure ??= error
    for (const call of pending.values()) call.reject(failure)
    pending.clear()
  }

  function send(request: Omit<Request, 'id'>): Promise<unknown> {
    if (failure !== undefined) return Promise.reject(failure)
    lastId += 1
    const call = Promise.withResolvers<unknown>()
    pending.set(lastId, call)
    // Calls of one turn of the event loop travel together.
    if (outbox.length === 0) {
      setImmediate(() => {
        worker.postMessage(outbox)
        outbox = []
      })
    }
    outbox.push({ id: lastId, ...request })
    return call.promise
  }

  return {
    run: (name, args) => send({ name, args }),
    checkpoint: async () => (await send({ name: checkpoint, args: [] })) === true,
    reader,
    close() {
      // The last to close folds the log into the file and removes it, by its name. Of a database
      // that was moved the name is another's by now, whose log the lock of the reader protects.
      if (identityOf(path) === opened) reader?.[Symbol.dispose]()
      worker.postMessage('close')
      return ended.promise
    },
  }
}

/**
 * Code that runs `module`. A thread has no cache of compiled code unless it asks for one itself, and
 * then takes longer to start and much more memory (measured: 17 MiB each, from source).
 */
function entryOf(module: URL): string {
  const cache = getCompileCacheDir()
  // Below the folder that was asked for is one for each version of Node.
  const enable = `require('node:module').enableCompileCache(${JSON.stringify(dirname(cache ?? ''))});`
  return `${cache === undefined ? '' : enable} import(${JSON.stringify(module.href)})`
}

async function openReader(path: string, worker: Worker): Promise<SqliteConnection> {
  try {
    return openSqliteConnection(path, { readOnly: true })
  } catch (error) {
    await worker.terminate()
    throw error
  }
}
