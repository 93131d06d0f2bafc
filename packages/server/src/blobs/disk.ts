/** Blobs in one folder of a disk: large ones as files, small ones together in a database. */

import { join } from 'node:path'
import { type BlobDriver, smallBytes } from './blob-driver.ts'
import { smallBlobsName } from './disk-layout.ts'
import { openFilesDriver } from './files.ts'
import { createRoom } from './room.ts'
import { readSmallBlob } from './small-blob-rows.ts'
import { openSmallBlobs } from './small-blobs.ts'

/**
 * Opens the folder `root`, makes what is missing of it and clears interrupted writes. The folder
 * belongs to one process at a time, which the opener sees to.
 */
export async function openDiskDriver(root: string): Promise<BlobDriver> {
  const room = createRoom(root)
  const files = await openFilesDriver(root, room)
  const small = await openSmallBlobs(join(root, smallBlobsName))

  return {
    async write(id, source) {
      const pieces = source[Symbol.asyncIterator]()
      try {
        const first = await pieces.next()
        if (first.done !== true && first.value.length > smallBytes) {
          await files.write(id, continued(first.value, pieces))
          return
        }
        const whole = first.done === true ? new Uint8Array() : first.value
        if ((await pieces.next()).done !== true) throw new Error(`Blob ${id} came in small pieces.`)
        await room.take(whole.length)
        await small.add(id, whole)
      } finally {
        await pieces.return?.()
      }
    },

    async *read(id, range) {
      const content = small.find(id)
      if (content === undefined) yield* files.read(id, range)
      else yield* readSmallBlob(id, content, range)
    },

    async delete(id) {
      if (small.find(id) === undefined) await files.delete(id)
      else await small.remove(id)
    },

    async *list(prefix) {
      yield* small.list(prefix)
      yield* files.list(prefix)
    },
    readMark: () => files.readMark(),
    writeMark: (text) => files.writeMark(text),

    async check() {
      await room.take(1)
      await Promise.all([files.check(), small.check()])
    },
    tidy: () => small.tidy(),
    close: () => small.close(),
  }
}

async function* continued(
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield first
  yield* { [Symbol.asyncIterator]: () => rest }
}
