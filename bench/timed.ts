/** A work that is timed from outside, with what the server used for it. */

import { median } from './measure.ts'
import type { Server } from './servers/program.ts'
import type { Row } from './table.ts'
import { type Usage, watchUsage } from './usage.ts'

export interface Timed extends Usage {
  readonly seconds: number
}

export async function timed(server: Server, work: () => Promise<unknown>): Promise<Timed> {
  const usage = watchUsage(server.pid)
  const began = performance.now()
  await work()
  const seconds = (performance.now() - began) / 1000
  return { seconds, ...usage() }
}

export function secondsOf(runs: readonly Timed[]): number {
  return median(runs.map(({ seconds }) => seconds))
}

/** What Coffer used, as cells of a row. */
export function usageOf(runs: readonly Timed[]): Pick<Row, 'cpuSeconds' | 'peakMiB'> {
  return {
    cpuSeconds: median(runs.map(({ cpuSeconds }) => cpuSeconds)),
    peakMiB: median(runs.map(({ peakMiB }) => peakMiB)),
  }
}
