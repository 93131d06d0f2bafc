/** Runs programs as a person would and measures them from outside. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

export interface Measured {
  readonly seconds: number
  /** The largest resident memory that was seen; undefined where there is no /proc. */
  readonly peakMiB: number | undefined
}

/** How often the peak is read; the kernel keeps it, so only the last moments can be missed. */
const samplingMilliseconds = 10

/** @throws if the program does not end with 0. */
export async function measure(
  command: readonly [string, ...string[]],
  env: Record<string, string> = {},
): Promise<Measured> {
  const [program, ...args] = command
  const began = performance.now()
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  let peakMiB: number | undefined
  const sampling = setInterval(() => {
    peakMiB = peakOf(child) ?? peakMiB
  }, samplingMilliseconds)
  const [code] = await once(child, 'exit')
  clearInterval(sampling)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`)
  return { seconds: (performance.now() - began) / 1000, peakMiB }
}

function peakOf({ pid }: ChildProcess): number | undefined {
  try {
    const [, kB] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kB === undefined ? undefined : Number(kB) / 1024
  } catch {
    // The process has ended, or the system has no /proc.
    return undefined
  }
}

/** Waits until the disks have all that was written, so that one work does not pay for another. */
export function flush(): void {
  execFileSync('sync')
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** Runs two works in turn, A B A B …, so that a machine that slows down slows both. */
export async function inTurn<Result>(
  rounds: number,
  a: () => Promise<Result>,
  b: () => Promise<Result>,
): Promise<{ a: Result[]; b: Result[] }> {
  const results: { a: Result[]; b: Result[] } = { a: [], b: [] }
  for (let round = 0; round < rounds; round += 1) {
    results.a.push(await a())
    results.b.push(await b())
  }
  return results
}
