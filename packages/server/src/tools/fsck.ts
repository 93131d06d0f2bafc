/** Finds what is wrong with a store and, if asked to, mends what can be mended without a loss. */

import { type InspectOptions, inspect } from './inspect.ts'
import { lockStore, type Places, requireStore } from './places.ts'
import { repair } from './repair.ts'
import type { Report } from './report.ts'

/** Beside a running server or without one; changes nothing. */
export async function fsck(places: Places, options: InspectOptions): Promise<Report> {
  const { report } = await inspect(places, options)
  return report
}

/**
 * Keeps the store for itself meanwhile.
 *
 * @param found is given the report before anything is changed.
 * @returns what is wrong afterwards.
 * @throws FolderInUse while a server runs.
 */
export async function fsckAndRepair(
  places: Places,
  found: (report: Report) => void,
  options: InspectOptions,
): Promise<Report> {
  requireStore(places)
  using _lock = lockStore(places)
  const inspection = await inspect(places, options)
  found(inspection.report)
  await repair(places, inspection, options.clock)
  return fsck(places, options)
}
