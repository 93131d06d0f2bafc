/** Room that blobs leave on their disk, so that rows can still be changed and files be deleted. */

import { statfs } from 'node:fs/promises'
import { BlobError } from './blob-error.ts'

const MiB = 1024 * 1024

/** Bytes that stay free, whatever is uploaded. */
const headroomBytes = 8 * MiB

/** For so long what was seen counts, less what was taken since: not every small upload looks. */
const freshMilliseconds = 20

export interface Room {
  /** @throws BlobError `full` if the disk would not keep the headroom with so many bytes more. */
  take(bytes: number): Promise<void>
}

export function createRoom(folder: string): Room {
  let seenAt = Number.NEGATIVE_INFINITY
  let free = 0
  return {
    async take(bytes) {
      if (performance.now() - seenAt > freshMilliseconds) {
        const { bavail, bsize } = await statfs(folder)
        free = bavail * bsize
        seenAt = performance.now()
      }
      free -= bytes
      if (free >= headroomBytes) return
      throw new BlobError('full', `The disk of ${folder} has no room for ${bytes} bytes more.`)
    },
  }
}
