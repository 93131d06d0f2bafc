/** A file on this machine's disk as something to upload. */

import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { UploadSource } from './upload-source.ts'

/** Large pieces: each costs the same few calls, whatever its size. */
const pieceBytes = 512 * 1024

/** @throws if there is no such file, or it is a folder. */
export async function fileFromPath(path: string): Promise<UploadSource> {
  const facts = await stat(path)
  if (facts.isDirectory()) throw new Error(`${path} is a folder.`)
  return {
    name: basename(path),
    // The size of a pipe or a device says nothing.
    bytes: facts.isFile() ? facts.size : undefined,
    isReplayable: facts.isFile(),
    open: () => readPieces(path, facts.isFile() ? facts.size : undefined),
  }
}

/** @throws if a file does not have the size it had before: what was announced would be wrong. */
async function* readPieces(path: string, bytes: number | undefined): AsyncGenerator<Uint8Array> {
  await using handle = await open(path, 'r')
  let total = 0
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(pieceBytes))
    total += bytesRead
    if (bytes !== undefined && (total > bytes || (bytesRead === 0 && total < bytes))) {
      throw new Error(`${path} changed while it was read.`)
    }
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}
