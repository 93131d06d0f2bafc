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
/** Gathered before a write call; the bytes of one upload in memory are about this many. */
const writeBytes = MiB
/** However small they are: a client may send its bytes one by one. */
const writePieces = 1024
/** Synced on the way, so that the last sync is short and a failing disk is noticed early. */
const syncBytes = 64 * MiB

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
  let pieces: Uint8Array[] = []
  let gathered = 0
  let received = 0
  let written = 0
  let synced = 0
  for await (const piece of source) {
    pieces.push(piece)
    gathered += piece.length
    received += piece.length
    if (gathered < writeBytes && pieces.length < writePieces) continue
    await room.take(gathered)
    written += await writeWhole(handle, pieces)
    pieces = []
    gathered = 0
    if (written - synced < syncBytes) continue
    await handle.datasync()
    synced = written
  }
  await room.take(gathered)
  written += await writeWhole(handle, pieces)
  await handle.datasync()
  const { size } = await handle.stat()
  if (size !== received) throw new Error(`The file has ${size} bytes, not the ${received} sent.`)
}

/** Writes all of `pieces`: a call may take fewer bytes than it was given, without an error. */
async function writeWhole(handle: FileHandle, pieces: Uint8Array[]): Promise<number> {
  let total = 0
  let left = pieces.filter((piece) => piece.length > 0)
  while (left.length > 0) {
    const { bytesWritten } = await handle.writev(left)
    total += bytesWritten
    left = withoutFirst(left, bytesWritten)
  }
  return total
}

function withoutFirst(pieces: Uint8Array[], bytes: number): Uint8Array[] {
  let passed = 0
  const from = pieces.findIndex((piece) => {
    passed += piece.length
    return passed > bytes
  })
  if (from === -1) return []
  const [first, ...rest] = pieces.slice(from)
  return first === undefined ? [] : [first.subarray(first.length - (passed - bytes)), ...rest]
}

function exists(id: string, cause: unknown): BlobError {
  return new BlobError('exists', `Blob ${id} exists.`, { cause })
}
