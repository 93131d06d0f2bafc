/**
 * Copies a store while its server runs: the rows first, then all bytes that they hold. A row of the
 * copy whose bytes are gone is one of a file that was deleted meanwhile, or that is lost.
 */

import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { blobPath, isSystemError } from '../blobs/blob-file.ts'
import { markName, prefixes, smallBlobsName } from '../blobs/disk-layout.ts'
import { type DiskReader, openDiskReader } from '../blobs/disk-reader.ts'
import { flushFolder, makeFolder } from '../blobs/folder-sync.ts'
import { openSmallBlobsCopy } from '../blobs/small-blobs-copy.ts'
import { dropFile, settleCopy } from '../metadata/copies.ts'
import { countRows, type HeldBlob, isHeldBlob, listHeldBlobs } from '../metadata/inspection.ts'
import { copySqliteRows, openSqliteRows } from '../metadata/sqlite-rows.ts'
import type { Database } from '../metadata/tables.ts'
import { type Clock, systemClock } from '../service/clock.ts'
import { formatMark } from '../service/store-binding.ts'
import {
  copyIfThere,
  flushFile,
  flushFolders,
  listFolder,
  together,
  writeDurably,
} from './durable-copy.ts'
import { checkMarks } from './inspect.ts'
import { formatManifest, type Manifest, manifestName, placesIn } from './manifest.ts'
import { type Places, requireStore } from './places.ts'
import { requireWhole } from './require-whole.ts'

export interface CopyOptions {
  readonly signal: AbortSignal
  readonly clock?: Clock
  /** Told how many bytes of how many are copied. */
  readonly moved?: (bytes: number, total: number) => void
}

export interface Backup {
  readonly folder: string
  readonly manifest: Manifest
  /** Files that were deleted while they were copied, and are not in the backup. */
  readonly deletedMeanwhile: number
  /** The ids of files that are not in the backup, because the store lacks some of their bytes. */
  readonly lost: readonly string[]
}

/**
 * @param to a folder that is empty or absent; it is there once the backup is whole.
 * @throws with nothing left behind if the backup cannot be made.
 */
export async function backUp(places: Places, to: string, options: CopyOptions): Promise<Backup> {
  requireStore(places)
  const folder = resolve(to)
  if ((await listFolder(folder)).length > 0) {
    throw new Error(`${folder} is not empty; give a new folder for each backup.`)
  }
  await makeFolder(dirname(folder))
  const draft = join(
    dirname(folder),
    `${basename(folder)}.partial-${randomBytes(4).toString('hex')}`,
  )
  await mkdir(draft, { mode: 0o700 })
  try {
    const made = await copyTo(draft, places, options)
    // Over an empty folder, too.
    await rename(draft, folder)
    await flushFolder(dirname(folder))
    return { folder, ...made }
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
}

async function copyTo(draft: string, live: Places, options: CopyOptions) {
  const { signal, clock = systemClock } = options
  const copy = placesIn(draft)
  await mkdir(copy.blobs, { mode: 0o700 })
  const createdAt = clock.now()
  copySqliteRows(live.database, copy.database)
  signal.throwIfAborted()

  const { store, deletedMeanwhile, lost } = await copyBytes(live, copy, options)
  await writeDurably(join(copy.blobs, markName), formatMark(store))
  await flushFile(copy.database)
  await flushFile(join(copy.blobs, smallBlobsName))

  const { files, bytes } = await requireWhole(copy, { signal })
  const manifest: Manifest = {
    format: 1,
    store: { id: store.id, generation: store.generation },
    files,
    bytes,
    created_at: new Date(createdAt * 1000).toISOString(),
  }
  await writeDurably(join(draft, manifestName), formatManifest(manifest))
  await flushFolders(draft)
  return { manifest, deletedMeanwhile, lost }
}

/** @returns the mark of the rows that were copied. */
async function copyBytes(live: Places, copy: Places, { signal, moved }: CopyOptions) {
  using source = openDiskReader(live.blobs)
  using sourceRows = openSqliteRows(live.database, { readOnly: true })
  using rows = openSqliteRows(copy.database, { readOnly: false })
  using small = openSmallBlobsCopy(join(copy.blobs, smallBlobsName))
  await requireMarks(sourceRows.db, source)
  const store = await settleCopy(rows.db)
  const { bytes: total, files } = await countRows(rows.db)
  const dropped: string[] = []
  const lost = new Set<string>()
  let deletedMeanwhile = 0
  let copied = 0

  async function copyOne(blob: HeldBlob): Promise<void> {
    signal.throwIfAborted()
    const size = await copyBlob(blob)
    if (size === blob.bytes) {
      copied += size
      moved?.(copied, total)
      return
    }
    // One file that cannot be read must not keep all others from being copied.
    const isLost = size !== undefined || (await isDangling(sourceRows.db, source, blob.blob_id))
    if (isLost) lost.add(blob.holder)
    else deletedMeanwhile += 1
    dropped.push(...(await dropFile(rows.db, { id: blob.holder })))
  }

  /** @returns its size, undefined if it is gone. */
  async function copyBlob(blob: HeldBlob): Promise<number | undefined> {
    const content = source.findSmall(blob.blob_id)
    if (content !== undefined) {
      small.add(blob.blob_id, content)
      return content.length
    }
    const to = blobPath(copy.blobs, blob.blob_id)
    try {
      return await copyIfThere(blobPath(live.blobs, blob.blob_id), to)
    } catch (error) {
      // The disk that is copied to may be the one that fails.
      if (!isSystemError(error, 'EIO') || (await isReadable(source, blob))) throw error
      await rm(to, { force: true })
      return 0
    }
  }

  for (const prefix of prefixes) {
    const held = await listHeldBlobs(rows.db, { prefix })
    await mkdir(join(copy.blobs, prefix), { mode: 0o700 })
    await together(held, copyOne)
    small.commit()
  }
  // It may have gone away meanwhile.
  if (lost.size > 0) await requireMarks(sourceRows.db, source)
  if (lost.size > files / 2) {
    throw new Error(
      `Of ${files} files ${lost.size} have no bytes that can be read. There is no backup: bring ` +
        'the bytes back first; coffer fsck tells more.',
    )
  }
  // Of a file of several blobs some may have been copied before others were deleted.
  for (const id of dropped) {
    small.remove(id)
    await rm(blobPath(copy.blobs, id), { force: true })
  }
  small.commit()
  return { store, deletedMeanwhile, lost: [...lost] }
}

/** @throws if the bytes are not those of the rows: without their volume all would look lost. */
async function requireMarks(db: Database, bytes: DiskReader): Promise<void> {
  for (const { message } of await checkMarks(db, bytes)) throw new Error(message)
}

async function isReadable(bytes: DiskReader, { blob_id, bytes: end }: HeldBlob): Promise<boolean> {
  try {
    for await (const _ of bytes.read(blob_id, { start: 0, end }));
    return true
  } catch (error) {
    if (isSystemError(error, 'EIO')) return false
    throw error
  }
}

/** The row, the bytes, the row, as an inspection looks at them. */
async function isDangling(db: Database, bytes: DiskReader, blob_id: string): Promise<boolean> {
  if (!(await isHeldBlob(db, { blob_id }))) return false
  return (await bytes.size(blob_id)) === undefined && isHeldBlob(db, { blob_id })
}
