/** The system calls of one operation of a server, each of which can fail or be its last. */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import {
  type Coffer,
  makeFolder,
  type StartOptions,
  startCoffer,
} from '../../packages/cli/test/start-coffer.ts'
import { attach, findThreads, oneHelper, Thread } from './injected-calls.ts'
import { readSystemCalls, type SystemCall, traceOptionsFor } from './system-calls.ts'

/** One call of a thread: the count is of those of its name, from the beginning of the operation. */
export interface Point {
  readonly thread: Thread
  readonly call: string
  readonly count: number
}

/** A server in which, after its first sweep, only what is asked for happens. */
export async function startAtRest(
  folder: string,
  command?: StartOptions['command'],
): Promise<Coffer> {
  const env = { ...oneHelper, COFFER_SWEEP_SECONDS: '86400' }
  const coffer = await startCoffer({ folder, env, ...(command && { command }) })
  // The sweep ends with it.
  const smallLog = join(folder, 'blobs', 'small-blobs.db-wal')
  await expect.poll(async () => (await stat(smallLog)).size, { timeout: 10_000 }).toBe(0)
  return coffer
}

/**
 * Those of `calls` that a new server makes on its folder or to its client, in their order.
 *
 * @param prepare gives what does the operation, once all that comes before it is done.
 */
export async function findPoints(
  prepare: (coffer: Coffer) => Promise<() => Promise<unknown>>,
  options: {
    readonly calls: readonly string[]
    readonly of: 'the folder' | 'the folder and the client'
    readonly command?: StartOptions['command']
  },
): Promise<Point[]> {
  const { calls, of, command } = options
  await using folder = await makeFolder()
  await using traces = await makeFolder()
  await using coffer = await startAtRest(folder.path, command)
  const run = await prepare(coffer)
  const threads = Object.entries(await findThreads(coffer.pid))
  const trace = join(traces.path, 'trace')
  await using strace = await attach(coffer.pid, [...traceOptionsFor(calls), '-o', trace])
  await run()
  await coffer.kill()
  await strace.ended

  const counts = new Map<string, number>()
  const points: Point[] = []
  for (const call of await readSystemCalls(trace)) {
    const thread = Thread.safeParse(threads.find(([, of]) => of === call.thread)?.[0])
    if (!thread.success) continue
    const key = `${call.thread} ${call.name}`
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    // One of few is the answer; which of them changes from run to run.
    const mayAnswer = of !== 'the folder' && thread.data === 'main' && !isWaking(call)
    if (mayAnswer || isIn(folder.path, call)) {
      points.push({ thread: thread.data, call: call.name, count })
    }
  }
  return points
}

/** Whether the call only wakes another thread. */
function isWaking({ target }: SystemCall): boolean {
  return target?.startsWith('pipe:') === true
}

function isIn(folder: string, { target, strings }: SystemCall): boolean {
  return [target, ...strings].some((path) => path?.startsWith(folder))
}
