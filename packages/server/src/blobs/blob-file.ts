/** What a folder of blobs holds as files: where it stands, and how it is read. */

import { constants } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { markName } from './disk-layout.ts'

const KiB = 1024

/**
 * How much is read at once: for a reader that keeps up so much, and the next while it takes this, as
 * it takes to match sendfile on loopback (measured: 64 KiB is a third of it); for many slow ones
 * little memory.
 */
const readBytes = { quick: 512 * KiB, slow: 256 * KiB }

/** Within which a quick reader takes a piece: 10 MB a second. */
const quickMilliseconds = 50

export function blobPath(root: string, id: string): string {
  return join(root, id.slice(0, 2), id)
}

/** Yields the bytes of `range`. @throws BlobError `not-found` or `damaged` */
export async function* readBlobFile(
  root: string,
  id: string,
  { start, end }: ByteRange,
): AsyncGenerator<Uint8Array> {
  await using handle = await openBlob(blobPath(root, id), id)

  async function readPiece(from: number, most: number): Promise<Uint8Array> {
    const length = Math.min(most, end - from)
    const piece = Buffer.allocUnsafeSlow(length)
    // A call may read fewer bytes than it was asked for.
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await handle.read(piece, filled, length - filled, from + filled)
      if (bytesRead === 0) throw new BlobError('damaged', `Blob ${id} ends before byte ${end}.`)
      filled += bytesRead
    }
    return piece
  }

  let isQuick = true
  let ahead: Promise<Uint8Array> | undefined
  for (let position = start; position < end; ) {
    const piece = await (ahead ?? readPiece(position, isQuick ? readBytes.quick : readBytes.slow))
    position += piece.length
    ahead = isQuick && position < end ? readPiece(position, readBytes.quick) : undefined
    // It is told of when the piece is asked for, if ever.
    ahead?.catch(() => {})
    const given = performance.now()
    yield piece
    isQuick = performance.now() - given < quickMilliseconds
  }
}

/** The text of the mark that stands beside the blobs; undefined if there is none. */
export async function readMark(root: string): Promise<string | undefined> {
  try {
    return await readFile(join(root, markName), 'utf8')
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

async function openBlob(path: string, id: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (cause) {
    if (!isSystemError(cause, 'ENOENT')) throw cause
    throw new BlobError('not-found', `Blob ${id} does not exist.`, { cause })
  }
}

export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
