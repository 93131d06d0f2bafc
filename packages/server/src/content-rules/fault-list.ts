/** The faults of one file, of which the first are told and all are counted. */

import type { Fault } from './fault.ts'

/** How many are told. */
export const mostTold = 100

export interface FaultList {
  add(fault: Fault): void
  /** Counts faults that are like others, and are not told. */
  count(more: number): void
  result(): Faults
}

export interface Faults {
  /** The first. */
  readonly faults: readonly Fault[]
  /** Also of those that are not told. */
  readonly faultCount: number
}

export function createFaultList(): FaultList {
  const faults: Fault[] = []
  let faultCount = 0
  return {
    add(fault) {
      faultCount += 1
      if (faults.length < mostTold) faults.push(fault)
    },
    count(more) {
      faultCount += more
    },
    result: () => ({ faults, faultCount }),
  }
}

export const noFaults: Faults = { faults: [], faultCount: 0 }

export function oneFault(fault: Fault): Faults {
  return { faults: [fault], faultCount: 1 }
}
