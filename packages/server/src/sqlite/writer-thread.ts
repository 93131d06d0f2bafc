/** The thread behind a SQLite writer: runs whatever operations wait as one group. */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { type Answer, type Call, end, toThreadError } from '../threads/messages.ts'
import { createBallast, noBallast } from './ballast.ts'
import { busyMilliseconds, openSqliteConnection } from './connection.ts'
import { isFull, writerFault } from './faults.ts'
import { identityOf } from './file-identity.ts'
import { migrateSqlite } from './migrations.ts'
import { checkpoint, type OpenOperations, type WriterData } from './writer.ts'

/** Bounds how long the first of a group waits for the last. */
const groupSize = 256

if (parentPort === null) throw new Error('The SQLite writer runs as a worker thread.')
const port = parentPort
const data = workerData as WriterData

const { openOperations } = (await import(data.operations)) as { openOperations: OpenOperations }
const ballast = data.path === ':memory:' ? noBallast : createBallast(data.path)
const { connection, operations } = open()
const { exec, pragma, inTransaction } = connection
const opened = identityOf(data.path)
ballast.restore()
port.postMessage('ready')

let working = false
const queue: Call[] = []

port.on('message', (message: Call[] | typeof end) => {
  accept(message)
  void work()
})

function accept(message: Call[] | typeof end): void {
  if (message === end) {
    // A database that was moved is not closed: that would remove the log of what stands there now.
    // The end of the thread closes it nevertheless, and finds the lock of the reader; see `close`.
    if (!isMoved()) connection[Symbol.dispose]()
    port.close()
  } else {
    queue.push(...message)
  }
}

async function work(): Promise<void> {
  if (working) return
  working = true
  while (queue.length > 0) {
    const group = queue.splice(0, groupSize)
    const calls = group.filter(({ name }) => name !== checkpoint)
    if (calls.length > 0) port.postMessage(await runGroup(calls))
    for (const { id, name } of group) if (name === checkpoint) port.postMessage([{ id, ...fold() }])
    ballast.restore()
    // Those who came during the commit are in the port, not yet in the queue.
    for (;;) {
      const waiting = receiveMessageOnPort(port)
      if (waiting === undefined) break
      accept(waiting.message)
    }
  }
  working = false
}

async function runGroup(group: Call[]): Promise<Answer[]> {
  const answers: Answer[] = []
  try {
    // What SQLite would still write to a file that has no name any more, nobody would find again.
    requireUnmoved()
    exec('begin immediate')
    for (const { id, name, args } of group) {
      exec('savepoint operation')
      try {
        answers.push({ id, value: await run(name, args) })
      } catch (error) {
        // After some failures SQLite has undone the whole group; a full disk ends it in any case.
        if (!inTransaction() || (isFull(error) && !ballast.isGiven())) throw error
        exec('rollback to operation')
        answers.push({ id, error: toThreadError(error) })
      }
      exec('release operation')
    }
    exec('commit')
    return answers
  } catch (error) {
    if (inTransaction()) exec('rollback')
    if (isFull(error) && ballast.drop()) return runGroup(group)
    return group.map(({ id }) => ({ id, error: toThreadError(error) }))
  }
}

async function run(name: string, args: readonly unknown[]): Promise<unknown> {
  if (operations.growing.has(name) && ballast.isGiven()) {
    throw writerFault('full', `The disk of ${data.path} is full.`)
  }
  return operations.run(name, args)
}

/** Folds the log into the database. @returns whether no reader was in the way, which it does not wait for. */
function fold(): Omit<Answer, 'id'> {
  try {
    requireUnmoved()
    exec('pragma busy_timeout = 0')
    const isBusy = pragma('wal_checkpoint(truncate)')
    return { value: isBusy === 0 }
  } catch (error) {
    return { error: toThreadError(error) }
  } finally {
    exec(`pragma busy_timeout = ${busyMilliseconds}`)
  }
}

/** @throws if the disk is so full that even the ballast does not help. */
function open() {
  try {
    return openDatabase()
  } catch (error) {
    if (!isFull(error) || !ballast.drop()) throw error
    return openDatabase()
  }
}

function openDatabase() {
  const connection = openSqliteConnection(data.path, { readOnly: false })
  try {
    // Synchronous in full, because normal lost a tenth of the last second's acknowledged files at a
    // power cut; and on macOS only a full sync empties the drive's cache.
    connection.exec('pragma auto_vacuum = incremental; pragma journal_mode = wal')
    connection.exec('pragma synchronous = full; pragma fullfsync = 1')
    migrateSqlite(connection, new URL(data.migrations))
    return { connection, operations: openOperations(connection) }
  } catch (error) {
    connection[Symbol.dispose]()
    throw error
  }
}

function requireUnmoved(): void {
  if (isMoved()) throw writerFault('moved', `The database ${data.path} was moved or removed.`)
}

function isMoved(): boolean {
  return data.path !== ':memory:' && identityOf(data.path) !== opened
}
