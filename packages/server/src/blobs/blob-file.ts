/** What a folder of blobs holds as files: where it stands, and how it is read. */

import { constants } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { markName } from './disk-layout.ts'

const MiB = 1024 * 1024
/** As large as reads must be to match sendfile on loopback (measured: 64 KiB is a third of it). */
const readBytes = MiB / 2

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
  for (let position = start; position < end; ) {
    const length = Math.min(readBytes, end - position)
    const piece = Buffer.allocUnsafeSlow(length)
    // A call may read fewer bytes than it was asked for.
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await handle.read(piece, filled, length - filled, position)
      if (bytesRead === 0) throw new BlobError('damaged', `Blob ${id} ends at byte ${position}.`)
      filled += bytesRead
      position += bytesRead
    }
    yield piece
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
