/**
 * Blobs as files of one folder, in the write order of docs/reliability.md: temporary file, sync,
 * link, folder sync.
 */

import { constants } from 'node:fs'
import {
  access,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  unlink,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { identityOf } from '../sqlite/file-identity.ts'
import type { BlobDriver } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { blobPath, isSystemError, readBlobFile, readMark } from './blob-file.ts'
import { markName, prefixes } from './disk-layout.ts'
import { createFolderSync, flushFolder, makeFolder } from './folder-sync.ts'
import type { Room } from './room.ts'

const MiB = 1024 * 1024
/** Synced on the way, so that the last sync is short and a failing disk is noticed early. */
const syncBytes = 32 * MiB

/** Opens the folder `root`, makes what is missing of it and clears interrupted writes. */
export async function openFilesDriver(root: string, room: Room): Promise<BlobDriver> {
  const temporary = join(root, 'tmp')
  await prepare(root, temporary)
  const opened = identityOf(root)
  const folders = createFolderSync()
  const mark = join(root, markName)
  const pathOf = (id: string) => blobPath(root, id)

  /** What is written to another volume than was opened, nobody finds again when that is back. */
  function requireUnmoved(): void {
    if (identityOf(root) === opened) return
    throw new BlobError('unavailable', `The folder ${root} is not the one that was opened.`)
  }

  async function publish(draft: string, id: string): Promise<void> {
    requireUnmoved()
    const path = pathOf(id)
    // Unlike a rename, a link refuses to replace an existing blob.
    await link(draft, path).catch((error: unknown) => {
      throw isSystemError(error, 'EEXIST') ? exists(id, error) : error
    })
    try {
      await folders.sync(dirname(path))
    } catch (error) {
      await unlink(path)
      throw error
    }
  }

  return {
    async write(id, source) {
      requireUnmoved()
      const draft = join(temporary, id)
      const handle = await createFile(draft, id)
      try {
        try {
          await writeDurably(handle, source, room)
        } finally {
          await handle.close()
        }
        await publish(draft, id)
      } finally {
        await unlink(draft)
      }
    },

    read: (id, range) => readBlobFile(root, id, range),

    async delete(id) {
      requireUnmoved()
      const path = pathOf(id)
      await rm(path, { force: true })
      // Until the folder is synced a power cut may bring the blob back, with nothing left to tell
      // that it should go.
      await folders.sync(dirname(path))
    },

    async *list(prefix) {
      // What somebody else put there is no blob of ours to remove.
      for (const name of await readdir(join(root, prefix))) if (name.startsWith(prefix)) yield name
    },

    readMark: () => readMark(root),

    async writeMark(text) {
      const draft = join(temporary, 'STORE')
      await using handle = await open(draft, 'w', 0o600)
      await handle.writeFile(text)
      await handle.datasync()
      await rename(draft, mark)
      await flushFolder(root)
    },

    async check() {
      requireUnmoved()
      await access(temporary, constants.W_OK)
    },
    async tidy() {},
    async close() {},
  }
}

async function prepare(root: string, temporary: string): Promise<void> {
  await makeFolder(temporary)
  // All folders that blobs can fall into exist from the start: none is made while an upload waits.
  const existing = new Set(await readdir(root))
  for (const name of prefixes) {
    if (!existing.has(name)) await mkdir(join(root, name), { mode: 0o700 })
  }
  await flushFolder(root)
  for (const stray of await readdir(temporary)) await unlink(join(temporary, stray))
}

async function createFile(path: string, id: string): Promise<FileHandle> {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
  try {
    return await open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600)
  } catch (error) {
    throw isSystemError(error, 'EEXIST') ? exists(id, error) : error
  }
}

/** @throws the source's error, or that of the file system; a failed sync is never tried again. */
async function writeDurably(
  handle: FileHandle,
  source: AsyncIterable<Uint8Array>,
  room: Room,
): Promise<void> {
  let received = 0
  let unsynced = 0
  let writing = Promise.resolve()
  let syncing = Promise.resolve()

  try {
    // The next piece is received while one is written, and written while others are synced.
    for await (const piece of source) {
      await writing
      await room.take(piece.length)
      unsynced += piece.length
      writing = writeWhole(handle, piece, received)
      received += piece.length
      writing.catch(() => {})
      if (unsynced < syncBytes) continue
      await Promise.all([writing, syncing])
      unsynced = 0
      syncing = handle.datasync()
      syncing.catch(() => {})
    }
    await writing
    await syncing
  } finally {
    await Promise.allSettled([writing, syncing])
  }
  await handle.datasync()
  const { size } = await handle.stat()
  if (size !== received) throw new Error(`The file has ${size} bytes, not the ${received} sent.`)
}

/** A call may take fewer bytes than it was given, without an error. */
async function writeWhole(handle: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < piece.length; ) {
    const length = piece.length - at
    const { bytesWritten } = await handle.write(piece, at, length, position + at)
    at += bytesWritten
  }
}

function exists(id: string, cause: unknown): BlobError {
  return new BlobError('exists', `Blob ${id} exists.`, { cause })
}
