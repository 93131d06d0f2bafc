/**
 * The worker thread that writes: it runs whatever operations wait as one group and commits them
 * together, so that a flush of the disk is shared by all who came while the last one ran.
 * SQLite's commit is synchronous; on the main thread each flush would stop every request.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { runOperation } from './metadata-store.ts'
import { Refusal } from './refusal.ts'
import { openSqliteConnection, type SqliteConnection } from './sqlite-connection.ts'
import type { Answer, Request, WriterData } from './sqlite-messages.ts'
import { migrateSqlite } from './sqlite-migrations.ts'

/** Bounds how long the first of a group waits for the last. */
const groupSize = 256

if (parentPort === null) throw new Error('The SQLite writer runs as a worker thread.')
const port = parentPort
const { path } = workerData as WriterData

const connection = openSqliteConnection(path, { readOnly: false })
// FULL, because NORMAL lost a tenth of the last second's acknowledged files at a power cut; and on
// macOS only a full sync empties the drive's cache.
connection.exec('pragma journal_mode = wal; pragma synchronous = full; pragma fullfsync = 1')
migrateSqlite(connection)
port.postMessage('ready')

let working = false
const queue: Request[] = []

port.on('message', (message: Request[] | 'close') => {
  accept(message)
  void work()
})

function accept(message: Request[] | 'close'): void {
  if (message === 'close') {
    connection[Symbol.dispose]()
    port.close()
  } else {
    queue.push(...message)
  }
}

async function work(): Promise<void> {
  if (working) return
  working = true
  while (queue.length > 0) {
    port.postMessage(await runGroup(connection, queue.splice(0, groupSize)))
    // Those who came during the commit are in the port, not yet in the queue.
    for (;;) {
      const waiting = receiveMessageOnPort(port)
      if (waiting === undefined) break
      accept(waiting.message)
    }
  }
  working = false
}

async function runGroup(
  { db, exec, inTransaction }: SqliteConnection,
  group: Request[],
): Promise<Answer[]> {
  const answers: Answer[] = []
  try {
    exec('begin immediate')
    for (const { id, name, args } of group) {
      exec('savepoint operation')
      try {
        answers.push({ id, value: await runOperation(db, name, args) })
      } catch (error) {
        // After some failures, as that of a full disk, SQLite has undone the whole group.
        if (!inTransaction()) throw error
        exec('rollback to operation')
        answers.push(error instanceof Refusal ? { id, value: error.outcome } : { id, error })
      }
      exec('release operation')
    }
    exec('commit')
    return answers
  } catch (error) {
    if (inTransaction()) exec('rollback')
    return group.map(({ id }) => ({ id, error }))
  }
}
