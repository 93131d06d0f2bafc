/** A running server, one of whose system calls fails or is its last. */

import { readdir, readFile } from 'node:fs/promises'
import { z } from 'zod'
import { type Program, runProgram } from '../../packages/cli/test/start-coffer.ts'

/** Of the server: its event loop, its only helper for files, and the writers of both databases. */
export const Thread = z.enum(['main', 'files', 'rows', 'small'])
export type Thread = z.infer<typeof Thread>

/** With more helpers nobody could say which of them makes the next call. */
export const oneHelper = { UV_THREADPOOL_SIZE: '1' }

/** The threads of a server that has been started with `oneHelper` and listens. */
export async function findThreads(pid: number): Promise<Record<Thread, number>> {
  const tasks = `/proc/${pid}/task`
  const ids = (await readdir(tasks)).map(Number).sort((a, b) => a - b)
  const names = await Promise.all(ids.map((id) => readFile(`${tasks}/${id}/comm`, 'utf8')))
  const named = (name: string) => ids.filter((_, index) => names[index]?.trim() === name)
  const [files, ...moreFiles] = named('libuv-worker')
  const [rows] = named('coffer-rows')
  const [small] = named('coffer-small')
  if (files === undefined || rows === undefined || small === undefined) {
    throw new Error(`The server has other threads than were expected: ${names.join(' ')}`)
  }
  if (moreFiles.length > 0) {
    throw new Error(`The server has more threads than were expected: ${names.join(' ')}`)
  }
  return { main: pid, files, rows, small }
}

/**
 * Attaches strace with these options to a thread, or to all with `-f` among them. Resolves once it
 * is attached: what it counts begins there.
 */
export async function attach(id: number, options: readonly string[]): Promise<Program> {
  const strace = runProgram('sh', ['-c', 'exec strace -p "$@" 2>&1', 'sh', `${id}`, ...options])
  await strace.printed(/attached/)
  return strace
}
