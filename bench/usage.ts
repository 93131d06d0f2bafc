/** What processes have used, as Linux tells it. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

export interface Usage {
  /** Of all threads, in user and system mode together. */
  readonly cpuSeconds: number
  /** The largest resident memory of one process since the watch began. */
  readonly peakMiB: number
}

const ticksPerSecond = 100

/** A process and those that it has started, such as the workers of a server. */
export function family(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean),
  )
  return [pid, ...children.map(Number).flatMap(family)]
}

/** @returns what tells the usage since this call. */
export function watchUsage(pid: number): () => Usage {
  const pids = family(pid)
  // Forgets the peak so far (proc(5), clear_refs).
  for (const one of pids) writeFileSync(`/proc/${one}/clear_refs`, '5')
  const before = cpuSeconds(pids)
  return () => ({
    cpuSeconds: cpuSeconds(pids) - before,
    peakMiB: Math.max(...pids.map(peakMiB)),
  })
}

function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
      .slice(11, 13)
    return sum + (Number(user) + Number(system)) / ticksPerSecond
  }, 0)
}

function peakMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}
