/** Keeps a folder for one process. */

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Another process has the folder. */
export class FolderInUse extends Error {
  override readonly name = 'FolderInUse'
}

/**
 * Locks the folder until the lock is disposed of or the process ends, however it ends: the lock is
 * the operating system's, taken by SQLite, as Node has no call for one.
 *
 * @throws FolderInUse
 */
export function lockFolder(folder: string): Disposable {
  const database = new DatabaseSync(join(folder, 'LOCK'))
  try {
    // Nothing is ever written, so no journal is wanted beside the file.
    database.exec('pragma journal_mode = memory; begin exclusive')
  } catch (cause) {
    database.close()
    const held = cause instanceof Error && 'errcode' in cause && cause.errcode === sqliteBusy
    if (!held) throw cause
    throw new FolderInUse(`The folder ${folder} is in use by another Coffer.`, { cause })
  }
  return {
    [Symbol.dispose]() {
      database.close()
    },
  }
}

const sqliteBusy = 5
