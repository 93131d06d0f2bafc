/** The last look at a copy. */

import { type InspectOptions, inspect } from './inspect.ts'
import type { Places } from './places.ts'
import type { Report } from './report.ts'

/** @throws if anything is wrong but files that were known to be damaged before. */
export async function requireWhole(
  copy: Places,
  options: Pick<InspectOptions, 'signal'>,
): Promise<Report> {
  const { report } = await inspect(copy, options)
  const faults = report.faults.filter(({ kind }) => kind !== 'damaged')
  const [first] = faults
  if (first === undefined && report.orphans.count === 0) return report
  throw new Error(
    `The copy is not whole (${faults.length} faults, ${report.orphans.count} orphans; the first: ` +
      `${JSON.stringify(first)}). Look at the original with coffer fsck and try again.`,
  )
}
