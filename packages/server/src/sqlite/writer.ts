/**
 * Writes to a SQLite database from a thread of its own, which commits in groups: a flush of the
 * disk is shared by all who came while the last one ran. On the main thread each flush would stop
 * every request, as SQLite's commit is synchronous.
 */

import { siblingModule, startThread, type Thread } from '../threads/thread.ts'
import { openSqliteConnection, type SqliteConnection } from './connection.ts'
import { writerFault } from './faults.ts'
import { identityOf } from './file-identity.ts'

export interface WriterData {
  readonly path: string
  /** The module whose `openOperations` gives what the thread can be called for. */
  readonly operations: string
  /** The folder of the migrations. */
  readonly migrations: string
}

/** The name of the call that folds the log into the database. */
export const checkpoint = 'checkpoint'

export interface Operations {
  /** Runs an operation by its name, inside a transaction. What it throws undoes what it wrote. */
  run(name: string, args: readonly unknown[]): unknown
  /** Those that are refused on a full disk, so that what is left of it serves to free some. */
  readonly growing: ReadonlySet<string>
}

/** What the module of a writer's operations exports under this very name. */
export type OpenOperations = (connection: SqliteConnection) => Operations

export interface WriterOptions {
  /** Of its thread. */
  readonly name: string
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

export async function startSqliteWriter(options: WriterOptions): Promise<SqliteWriter> {
  const { name, path, operations, migrations } = options
  const thread = await startThread({
    name,
    module: siblingModule('writer-thread', import.meta.url),
    data: {
      path,
      operations: operations.href,
      migrations: migrations.href,
    } satisfies WriterData,
    stopped: (cause) => writerFault('stopped', 'The SQLite writer stopped.', { cause }),
  })
  const opened = identityOf(path)
  const reader = path === ':memory:' ? undefined : await openReader(path, thread)

  return {
    run: thread.call,
    checkpoint: async () => (await thread.call(checkpoint, [])) === true,
    reader,
    close() {
      // The last to close folds the log into the file and removes it, by its name. Of a database
      // that was moved the name is another's by now, whose log the lock of the reader protects.
      if (identityOf(path) === opened) reader?.[Symbol.dispose]()
      return thread.end()
    },
  }
}

async function openReader(path: string, thread: Thread): Promise<SqliteConnection> {
  try {
    return openSqliteConnection(path, { readOnly: true })
  } catch (error) {
    await thread.terminate()
    throw error
  }
}
