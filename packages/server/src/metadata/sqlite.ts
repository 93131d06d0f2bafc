/** The metadata store on SQLite: a writer thread that commits in groups, reads beside it. */

import { once } from 'node:events'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import {
  createCalls,
  type MetadataStore,
  type OperationName,
  runOperation,
} from './metadata-store.ts'
import { openSqliteConnection, type SqliteConnection } from './sqlite-connection.ts'
import type { Answer, Request, WriterData } from './sqlite-messages.ts'

/**
 * Opens or makes the database at `path`, or one in memory for `:memory:`, and brings its schema
 * up to date. The file belongs to one process at a time, which the opener sees to.
 */
export async function openSqliteStore(path: string): Promise<MetadataStore> {
  const writer = await startWriter(path)
  // A database in memory exists in one connection only.
  const reader = path === ':memory:' ? undefined : await openReader(path, writer)
  const begun = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined

  /**
   * Lets calls through until the store closes, which then waits for them. Others may come even
   * then: a request that the stop has cut cleans up.
   */
  function track(run: Run): Run {
    return (name, args) => {
      if (closing !== undefined) return Promise.reject(new Error('The metadata store is closed.'))
      const call = run(name, args).finally(() => begun.delete(call))
      begun.add(call)
      return call
    }
  }

  async function end(): Promise<void> {
    await Promise.allSettled(begun)
    // The last connection to close must be the writer's, which then folds the log into the file.
    reader?.[Symbol.dispose]()
    await writer.close()
  }

  const write = track(writer.run)
  // A look-up by index takes less time here than a message to another thread.
  const read = reader ? track((name, args) => runOperation(reader.db, name, args)) : write
  const calls = createCalls(read, write)
  return {
    ...calls,
    check: () => check(calls),
    close() {
      closing ??= end()
      return closing
    },
  }
}

async function openReader(path: string, writer: Writer): Promise<SqliteConnection> {
  try {
    return openSqliteConnection(path, { readOnly: true })
  } catch (error) {
    await writer.close()
    throw error
  }
}

/** A transaction that changes nothing still passes through the writer and its commit. */
async function check(calls: Pick<MetadataStore, 'forgetDeletedFiles'>): Promise<void> {
  await calls.forgetDeletedFiles({ deleted_before: 0 })
}

type Run = (name: OperationName, args: unknown[]) => Promise<unknown>

interface Writer {
  readonly run: Run
  /** Ends the thread, which must have nothing left to do. */
  close(): Promise<void>
}

async function startWriter(path: string): Promise<Writer> {
  const url = new URL(`./sqlite-writer${extname(import.meta.url)}`, import.meta.url)
  const worker = new Worker(url, { workerData: { path } satisfies WriterData })
  await once(worker, 'message')

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
      else call?.reject(error)
    }
  })
  worker.on('error', (error) => {
    fail(new Error('The SQLite writer stopped.', { cause: error }))
  })
  worker.on('exit', () => {
    fail(new Error('The SQLite writer stopped.'))
    ended.resolve()
  })

  function fail(error: Error): void {
    failure ??= error
    for (const call of pending.values()) call.reject(failure)
    pending.clear()
  }

  return {
    run(name, args) {
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
      outbox.push({ id: lastId, name, args })
      return call.promise
    },
    close() {
      worker.postMessage('close')
      return ended.promise
    },
  }
}
