/** Mends what an inspection found, as far as nothing can be lost by it. */

import * as rows from '../metadata/inspection.ts'
import { openSqliteRows } from '../metadata/sqlite-rows.ts'
import type { Database } from '../metadata/tables.ts'
import { type Clock, systemClock } from '../service/clock.ts'
import type { Inspection } from './inspect.ts'
import type { Places } from './places.ts'
import type { Fault } from './report.ts'

/** Only for who has locked the store since before the inspection. All of it or nothing. */
export async function repair(
  places: Places,
  { report, orphans }: Inspection,
  clock: Clock = systemClock,
): Promise<void> {
  using store = openSqliteRows(places.database, { readOnly: false })
  const now = clock.now()
  store.connection.exec('begin immediate')
  // What throws leaves the transaction open, and closing the connection undoes it.
  for (const fault of report.faults) await mend(store.db, fault, now)
  for (const { id, isNoted } of orphans) {
    // Who removes it is the sweep, after it has seen it twice itself.
    if (!isNoted) await rows.addOrphan(store.db, { blob_id: id, now })
  }
  store.connection.exec('commit')
}

async function mend(db: Database, fault: Fault, now: number): Promise<void> {
  switch (fault.kind) {
    case 'dangling':
    case 'mismatching':
    case 'missized':
      // Its bytes may still be found elsewhere, so the file stays.
      return rows.markDamaged(db, { id: fault.file, now })
    case 'held-and-loose':
      return rows.dropLooseBlob(db, { blob_id: fault.blob })
    case 'miscounted':
      return rows.recountUsage(db)
    case 'database':
    case 'mark':
    case 'damaged':
    case 'overdue':
    case 'many-orphans':
    case 'stranger':
      return
    default:
      return fault satisfies never
  }
}
