/**
 * A temporary folder and the processes that work in it, all gone with this process, however that
 * ends: a shell beside it waits for the end of a pipe, which comes after SIGKILL too.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface GuardedFolder extends AsyncDisposable {
  readonly path: string
  /** Has this process ended before the folder is removed, unless it ends by itself earlier. */
  guard(child: ChildProcess): void
}

/** Its lines are the running processes, the last one counts; the folder and a signal come as arguments. */
const script = `
running=
while read -r line; do running=$line; done
for process in $running; do
  kill -s "$2" "$process"
  looks=0
  while kill -0 "$process" && [ "$looks" -lt 100 ]; do
    sleep 0.05
    looks=$((looks + 1))
  done
  kill -s KILL "$process"
done 2> /dev/null
for again in 1 2 3 4 5; do
  rm -rf -- "$1" && exit
  sleep 0.2
done
exit 1`

/** @param signal that ends a process at once and lets it tidy up what lies in no folder. */
export async function makeGuardedFolder(
  name: string,
  signal: 'KILL' | 'QUIT',
): Promise<GuardedFolder> {
  const path = await mkdtemp(join(tmpdir(), `coffer-${name}-`))
  // In a session of its own, so that what interrupts a terminal does not end it first.
  const shell = spawn('/bin/sh', ['-c', script, 'sh', path, signal], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const ended = once(shell, 'exit')
  shell.unref()
  // A pipe of Node is a socket, which need not keep the process alive either.
  if ('unref' in shell.stdin && typeof shell.stdin.unref === 'function') shell.stdin.unref()
  const running = new Set<number>()
  const tell = () => void shell.stdin.write(`${[...running].join(' ')}\n`)

  return {
    path,
    guard(child) {
      const { pid } = child
      if (pid === undefined) return
      running.add(pid)
      tell()
      child.once('exit', () => {
        running.delete(pid)
        if (!shell.stdin.writableEnded) tell()
      })
    },
    async [Symbol.asyncDispose]() {
      shell.ref()
      shell.stdin.end()
      const [code] = await ended
      if (code !== 0) throw new Error(`The folder ${path} could not be removed.`)
    },
  }
}
