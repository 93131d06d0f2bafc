/** What is counted for operators, told by the service and shown at the door. */

/** Counters by name, each with what it counts. */
export const measures = {
  blob_integrity_failures: 'Reads of content that is not what was stored.',
  storage_failures: 'Reads and writes of bytes or rows that the storage failed.',
  sweeps: 'Sweeps that came to their end.',
  removed_blobs: 'Blobs removed because no file holds them.',
  orphans_found: 'Blobs found in the storage that no row knows.',
  orphans_quarantined: 'Orphans found a second time, to be removed after a day.',
  sweeps_stopped: 'Times that the sweep left orphans alone because there were too many of them.',
} as const

export type MeasureName = keyof typeof measures

export interface Measures {
  add(name: MeasureName, count?: number): void
}
