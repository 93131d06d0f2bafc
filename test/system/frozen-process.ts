/** A process that is stopped for good, in all its threads, at some instant. */

import { readdir, readFile } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'

const mostMilliseconds = 10_000

/**
 * Resolves once no thread runs any more, so that no error handler of the process runs on what
 * happens to its files next. A process that is traced does not count as stopped.
 */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  const deadline = performance.now() + mostMilliseconds
  // One that waits for the disk stops only when that has answered; no event tells of it.
  while ((await threadStates(pid)).some((state) => state !== 'T')) {
    if (performance.now() > deadline) throw new Error(`Process ${pid} does not stop.`)
    await setImmediate()
  }
}

async function threadStates(pid: number): Promise<string[]> {
  const tasks = `/proc/${pid}/task`
  return Promise.all(
    (await readdir(tasks)).map(async (thread) => {
      const stat = await readFile(`${tasks}/${thread}/stat`, 'utf8')
      // The name before the state stands in brackets, and may hold any character.
      return stat.charAt(stat.lastIndexOf(')') + 2)
    }),
  )
}
