/** Makes a store of a backup: the bytes first, then the rows. */

import { mkdir, rename } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { blobPath } from '../blobs/blob-file.ts'
import { markName, prefixes, smallBlobsName } from '../blobs/disk-layout.ts'
import { openDiskReader } from '../blobs/disk-reader.ts'
import { flushFolder, makeFolder } from '../blobs/folder-sync.ts'
import { countRows, type HeldBlob, listHeldBlobs } from '../metadata/inspection.ts'
import { openSqliteRows } from '../metadata/sqlite-rows.ts'
import { findStore } from '../metadata/store-mark.ts'
import { formatMark } from '../service/store-binding.ts'
import type { CopyOptions } from './backup.ts'
import {
  copyDurably,
  copyIfThere,
  emptyFolder,
  flushFolders,
  listFolder,
  together,
  writeDurably,
} from './durable-copy.ts'
import { type Manifest, placesIn, readManifest } from './manifest.ts'
import { foldersOf, lockStore, type Places } from './places.ts'
import type { Report } from './report.ts'
import { requireWhole } from './require-whole.ts'

export interface Restored {
  readonly manifest: Manifest
  /** Of the store that was made; at most files that were known to be damaged are wrong with it. */
  readonly report: Report
}

/**
 * @param to where nothing may be yet.
 * @throws with nothing left behind if the backup cannot be restored.
 */
export async function restore(from: string, to: Places, options: CopyOptions): Promise<Restored> {
  const folder = resolve(from)
  const manifest = await readManifest(folder)
  await requireRows(folder, manifest)
  const folders = foldersOf(to)
  for (const target of folders) {
    if ((await listFolder(target)).length === 0) continue
    throw new Error(`${target} is not empty; restore to a new folder.`)
  }
  for (const target of folders) await makeFolder(target)
  using _lock = lockStore(to)
  try {
    await copyAll(placesIn(folder), to, manifest, options)
    return { manifest, report: await requireWhole(to, options) }
  } catch (error) {
    for (const target of folders) await emptyFolder(target)
    throw error
  }
}

/** The manifest and the rows beside it must be of one backup. */
async function requireRows(folder: string, { store, files, bytes }: Manifest): Promise<void> {
  const { database } = placesIn(folder)
  using rows = openSqliteRows(database, { readOnly: true })
  const counts = await countRows(rows.db)
  const found = await findStore(rows.db)
  if (
    counts.files === files &&
    counts.bytes === bytes &&
    found.store?.id === store.id &&
    found.store.generation === store.generation
  ) {
    return
  }
  throw new Error(`The backup ${folder} was changed: its rows are not those of its manifest.`)
}

async function copyAll(
  from: Places,
  to: Places,
  { store, bytes: total }: Manifest,
  { signal, moved }: CopyOptions,
): Promise<void> {
  using rows = openSqliteRows(from.database, { readOnly: true })
  using source = openDiskReader(from.blobs)
  let copied = 0

  async function copyOne({ holder, blob_id, bytes }: HeldBlob): Promise<void> {
    signal.throwIfAborted()
    const small = source.findSmall(blob_id)
    const size =
      small?.length ??
      (await copyIfThere(blobPath(from.blobs, blob_id), blobPath(to.blobs, blob_id)))
    if (size !== bytes) {
      throw new Error(`The backup is damaged: it lacks bytes of ${holder}. Take another one.`)
    }
    copied += bytes
    moved?.(copied, total)
  }

  // With the mark alone a server refuses to start, so a restore that breaks off is noticed.
  await writeDurably(join(to.blobs, markName), formatMark(store))
  await flushFolder(to.blobs)
  await copyDurably(join(from.blobs, smallBlobsName), join(to.blobs, smallBlobsName))
  for (const prefix of prefixes) {
    await mkdir(join(to.blobs, prefix), { mode: 0o700 })
    await together(await listHeldBlobs(rows.db, { prefix }), copyOne)
  }
  await flushFolders(to.blobs)
  const draft = `${to.database}.partial`
  await copyDurably(from.database, draft)
  await rename(draft, to.database)
  for (const folder of foldersOf(to)) await flushFolder(folder)
}
