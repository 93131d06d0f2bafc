/** Asks SQLite whether a database is whole. */

import { openSqliteConnection } from './connection.ts'
import { isStorageFault } from './faults.ts'

/** What is wrong with the database at `path`, in SQLite's words; nothing if it is whole. */
export function quickCheck(path: string): string[] {
  try {
    using connection = openSqliteConnection(path, { readOnly: true })
    const rows = connection.prepare('pragma quick_check(20)').all()
    const faults = rows.flatMap((row) => Object.values(row).map(String))
    return faults.filter((fault) => fault !== 'ok')
  } catch (error) {
    if (!isStorageFault(error) || !(error instanceof Error)) throw error
    return [error.message]
  }
}
