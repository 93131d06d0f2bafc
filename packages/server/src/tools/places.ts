/** Where an embedded store stands: what the tools of operators work on. */

import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Config } from '../config.ts'
import { lockFolder } from '../lock-folder.ts'

export interface Places {
  /** The path of the database of rows. */
  readonly database: string
  /** The folder of bytes. */
  readonly blobs: string
}

/** @throws if the store is not SQLite and a disk folder. */
export function placesOf({ metadata, blobs }: Pick<Config, 'metadata' | 'blobs'>): Places {
  if (metadata.driver !== 'sqlite' || metadata.path === ':memory:' || blobs.driver !== 'disk') {
    throw new Error('This works only on a store of SQLite and a disk folder.')
  }
  return { database: resolve(metadata.path), blobs: resolve(blobs.folder) }
}

/** @throws if there is nothing to work on. */
export function requireStore({ database, blobs }: Places): void {
  if (!existsSync(database)) {
    throw new Error(`There is no store: ${database} does not exist. Is --data right?`)
  }
  if (!existsSync(blobs)) {
    throw new Error(`The folder of bytes ${blobs} does not exist. Is COFFER_BLOBS_URL right?`)
  }
}

/** The folders that belong to the store, each once. */
export function foldersOf({ database, blobs }: Places): string[] {
  return [...new Set([dirname(database), blobs])]
}

/**
 * Keeps the store for this process, as a server would; both folders must be there.
 *
 * @throws FolderInUse
 */
export function lockStore(places: Places): Disposable {
  using locks = new DisposableStack()
  for (const folder of foldersOf(places)) locks.use(lockFolder(folder))
  return locks.move()
}
