/** A file on this machine's disk as something to upload. */

import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { UploadSource } from './upload-source.ts'

/** Each piece costs the same few calls, whatever its size; larger ones cost memory and no less time. */
const pieceBytes = 256 * 1024

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
  for (let total = 0; ; ) {
    // One byte more than there should be tells the end of a file, or that it has grown.
    const wanted = Math.min(pieceBytes, (bytes ?? Number.POSITIVE_INFINITY) - total + 1)
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(wanted))
    total += bytesRead
    const isEnd = bytes === undefined ? bytesRead === 0 : bytesRead < wanted && total === bytes
    if (bytes !== undefined && (total > bytes || (bytesRead === 0 && total < bytes))) {
      throw new Error(`${path} changed while it was read.`)
    }
    if (bytesRead > 0) yield buffer.subarray(0, bytesRead)
    if (isEnd) return
  }
}
