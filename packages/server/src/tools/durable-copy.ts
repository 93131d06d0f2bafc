/** Copies of files that outlast a power cut. */

import { constants, existsSync } from 'node:fs'
import { chmod, copyFile, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../blobs/blob-file.ts'
import { flushFolder } from '../blobs/folder-sync.ts'

/** A new disk has it in its root, and it is nobody's. */
const ofTheFileSystem = 'lost+found'

/** Copied at the same time: most of the time of a small copy is its sync. */
const copiesAtOnce = 4

/** Does the work for all, a few at a time; the first failure ends it once those under way ended. */
export async function together<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = items.values()
  let failed = false
  async function run(): Promise<void> {
    for (const item of queue) {
      if (failed) return
      await work(item).catch((error: unknown) => {
        failed = true
        throw error
      })
    }
  }
  const runs = await Promise.allSettled(Array.from({ length: copiesAtOnce }, run))
  for (const outcome of runs) if (outcome.status === 'rejected') throw outcome.reason
}

/**
 * Copies a file to a name that is free; the folder of that must be flushed afterwards.
 *
 * @returns its size.
 */
export async function copyDurably(from: string, to: string): Promise<number> {
  // Where the file system can, the copy shares its blocks with the file until one of them changes.
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  // A backup may lie where nothing can be written, and says so of each file.
  await chmod(to, 0o600)
  return flushFile(to)
}

/** The same, but undefined if there is no such file. */
export async function copyIfThere(from: string, to: string): Promise<number | undefined> {
  try {
    return await copyDurably(from, to)
  } catch (error) {
    if (isSystemError(error, 'ENOENT') && !existsSync(from)) return undefined
    throw error
  }
}

/** @returns its size. */
export async function flushFile(path: string): Promise<number> {
  await using handle = await open(path, 'r+')
  await handle.sync()
  return (await handle.stat()).size
}

/** Writes a new small file. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await using handle = await open(path, 'wx', 0o600)
  await handle.writeFile(text)
  await handle.sync()
}

/** Flushes a folder and all folders below it: what they hold has been flushed. */
export async function flushFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await flushFolders(join(folder, entry.name))
  }
  await flushFolder(folder)
}

/** What a folder holds; nothing if it does not exist. */
export async function listFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return []
    throw error
  })
  return names.filter((name) => name !== ofTheFileSystem)
}

export async function emptyFolder(folder: string): Promise<void> {
  for (const name of await listFolder(folder)) {
    await rm(join(folder, name), { recursive: true, force: true })
  }
}
