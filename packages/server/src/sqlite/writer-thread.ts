/** The thread behind a SQLite writer: runs whatever operations wait as one group. */

import { statSync } from 'node:fs'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { createBallast, noBallast } from './ballast.ts'
import { openSqliteConnection } from './connection.ts'
import { isFull, writerFault } from './faults.ts'
import { type Answer, type Request, toThreadError, type WriterData } from './messages.ts'
import { migrateSqlite } from './migrations.ts'
import type { OpenOperations } from './writer.ts'

/** Bounds how long the first of a group waits for the last. */
const groupSize = 256

if (parentPort === null) throw new Error('The SQLite writer runs as a worker thread.')
const port = parentPort
const data = workerData as WriterData

const { openOperations } = (await import(data.operations)) as { openOperations: OpenOperations }
const connection = openSqliteConnection(data.path, { readOnly: false })
const { exec, inTransaction } = connection
// Synchronous in full, because normal lost a tenth of the last second's acknowledged files at a power cut; and on
// macOS only a full sync empties the drive's cache.
exec('pragma auto_vacuum = incremental; pragma journal_mode = wal')
exec('pragma synchronous = full; pragma fullfsync = 1')
migrateSqlite(connection, new URL(data.migrations))
const operations = openOperations(connection)
const opened = fileAt(data.path)
const ballast = opened === undefined ? noBallast : createBallast(data.path)
port.postMessage('ready')
ballast.restore()

let working = false
const queue: Request[] = []

port.on('message', (message: Request[] | 'close') => {
  accept(message)
  void work()
})

function accept(message: Request[] | 'close'): void {
  if (message === 'close') {
    // To close a database that was moved would remove the log of whatever stands there now.
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
    port.postMessage(await runGroup(queue.splice(0, groupSize)))
    // Those who came during the commit are in the port, not yet in the queue.
    for (;;) {
      const waiting = receiveMessageOnPort(port)
      if (waiting === undefined) break
      accept(waiting.message)
    }
  }
  working = false
}

async function runGroup(group: Request[]): Promise<Answer[]> {
  const answers: Answer[] = []
  try {
    // What SQLite would still write to a file that has no name any more, nobody would find again.
    if (isMoved()) throw writerFault('moved', `The database ${data.path} was moved or removed.`)
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
    // Not within a transaction; a reader that is in its way makes it do less, without an error.
    if (group.some(({ name }) => name === 'checkpoint')) exec('pragma wal_checkpoint(truncate)')
    ballast.restore()
    return answers
  } catch (error) {
    if (inTransaction()) exec('rollback')
    if (isFull(error) && ballast.drop()) return runGroup(group)
    return group.map(({ id }) => ({ id, error: toThreadError(error) }))
  }
}

async function run(name: string, args: readonly unknown[]): Promise<unknown> {
  if (name === 'checkpoint') return undefined
  if (operations.growing.has(name) && ballast.isGiven()) {
    throw writerFault('full', `The disk of ${data.path} is full.`)
  }
  return operations.run(name, args)
}

function isMoved(): boolean {
  return fileAt(data.path) !== opened
}

/** What the name stands for now: the same for as long as it is the same file. */
function fileAt(path: string): string | undefined {
  const facts = path === ':memory:' ? undefined : statSync(path, { throwIfNoEntry: false })
  return facts && `${facts.dev}:${facts.ino}`
}
