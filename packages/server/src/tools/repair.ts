/** Mends what an inspection found, as far as nothing can be lost by it. */

import { type DiskReader, openDiskReader } from '../blobs/disk-reader.ts'
import * as rows from '../metadata/inspection.ts'
import { openSqliteRows } from '../metadata/sqlite-rows.ts'
import type { Database } from '../metadata/tables.ts'
import { type Clock, systemClock } from '../service/clock.ts'
import { findDamage } from './find-damage.ts'
import type { Inspection } from './inspect.ts'
import type { Places } from './places.ts'
import type { Fault } from './report.ts'

/**
 * Only for who has locked the store since before the inspection. All of it or nothing.
 *
 * @throws if the rows or the bytes may be the wrong ones, or not all: what looks lost may be there.
 */
export async function repair(
  places: Places,
  { report, orphans }: Inspection,
  clock: Clock = systemClock,
): Promise<void> {
  requireTrust(report.faults)
  using store = openSqliteRows(places.database, { readOnly: false })
  using bytes = openDiskReader(places.blobs)
  const now = clock.now()
  store.connection.exec('begin immediate')
  // What throws leaves the transaction open, and closing the connection undoes it.
  for (const fault of report.faults) await mend(store.db, bytes, fault, now)
  for (const { id, isNoted } of orphans) {
    // Who removes it is the sweep, after it has seen it twice itself.
    if (!isNoted) await rows.addOrphan(store.db, { blob_id: id, now })
  }
  store.connection.exec('commit')
}

/** Without its volume every file looks dangling, and must not be marked for that. */
function requireTrust(faults: readonly Fault[]): void {
  if (faults.some(({ kind }) => kind === 'mark')) {
    throw new Error('Nothing was mended: first bring the rows and the bytes of one store together.')
  }
  if (faults.some(({ kind }) => kind === 'database')) {
    throw new Error('Nothing was mended, as a database is damaged: restore a backup.')
  }
}

async function mend(db: Database, bytes: DiskReader, fault: Fault, now: number): Promise<void> {
  switch (fault.kind) {
    case 'dangling':
    case 'mismatching':
    case 'missized':
      // Its bytes may still be found elsewhere, so the file stays.
      return rows.markDamaged(db, { id: fault.file, now })
    case 'damaged':
      return unmarkIfWhole(db, bytes, fault.file)
    case 'held-and-loose':
      return rows.dropLooseBlob(db, { blob_id: fault.blob })
    case 'miscounted':
      return rows.recountUsage(db)
    case 'database':
    case 'mark':
    case 'overdue':
    case 'many-orphans':
    case 'stranger':
      return
    default:
      return fault satisfies never
  }
}

/** Somebody may have put its bytes back. */
async function unmarkIfWhole(db: Database, bytes: DiskReader, id: string): Promise<void> {
  const file = await rows.findWholeFile(db, { id })
  if (file === undefined || (await findDamage(bytes, file)) !== undefined) return
  await rows.unmarkDamaged(db, { id })
}
