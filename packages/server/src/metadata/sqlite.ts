/** The metadata store on SQLite: a writer thread that commits in groups, reads beside it. */

import { isFull, isStorageFault } from '../sqlite/faults.ts'
import { startSqliteWriter } from '../sqlite/writer.ts'
import { siblingModule } from '../threads/thread.ts'
import { MetadataError } from './metadata-error.ts'
import {
  createCalls,
  type MetadataStore,
  type OperationName,
  runOperation,
} from './metadata-store.ts'
import type { Database } from './tables.ts'

// The same place seen from src/metadata and from dist/metadata.
const migrations = new URL('../../migrations/sqlite-metadata/', import.meta.url)

/**
 * Opens or makes the database at `path`, or one in memory for `:memory:`, and brings its schema
 * up to date. The file belongs to one process at a time, which the opener sees to.
 */
export async function openSqliteStore(path: string): Promise<MetadataStore> {
  const operations = siblingModule('sqlite-operations', import.meta.url)
  // What makes queries takes longer to load than the thread takes to start, which needs it, too.
  const loading = import('./sqlite-database.ts')
  loading.catch(() => {})
  const writer = await startSqliteWriter({ name: 'coffer-rows', path, operations, migrations })
  const { toDatabase } = await loading.catch(async (error: unknown) => {
    await writer.close()
    throw error
  })
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
    await writer.close()
  }

  const write = track((name, args) => writer.run(name, args).catch(outcomeOf).catch(rethrow))
  const read = writer.reader ? track(readFrom(toDatabase(writer.reader))) : write
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

type Run = (name: OperationName, args: unknown[]) => Promise<unknown>

/** A look-up by index takes less time here than a message to another thread. */
function readFrom(db: Database): Run {
  return (name, args) => runOperation(db, name, args).catch(rethrow)
}

function rethrow(cause: unknown): never {
  if (isFull(cause)) throw new MetadataError('full', 'The metadata store is full.', { cause })
  // The writer looks at its file beside SQLite, too.
  const isOfFile = cause instanceof Error && 'syscall' in cause
  if (!isOfFile && !isStorageFault(cause)) throw cause
  throw new MetadataError('unavailable', 'The metadata store does not work now.', { cause })
}

/** Of a `Refusal`, which lost its class on the way from the thread. */
function outcomeOf(error: unknown): unknown {
  if (error instanceof Error && 'outcome' in error) return error.outcome
  throw error
}

/** A transaction that changes nothing still passes through the writer and its commit. */
async function check(calls: Pick<MetadataStore, 'forgetDeletedFiles'>): Promise<void> {
  await calls.forgetDeletedFiles({ deleted_before: 0, limit: 1 })
}
