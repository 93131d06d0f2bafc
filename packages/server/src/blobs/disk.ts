/** Blobs in one folder of a disk: large ones as files, small ones together in a database. */

import { join } from 'node:path'
import type { BlobDriver } from './blob-driver.ts'
import { smallBlobsName } from './disk-layout.ts'
import { openFilesDriver } from './files.ts'
import { createRoom } from './room.ts'
import { readSmallBlob } from './small-blob-rows.ts'
import { openSmallBlobs } from './small-blobs.ts'

const KiB = 1024

/** The size of the largest blob that goes to the database. */
const smallBytes = 16 * KiB

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
        const { beginning, next } = await pullBeginning(pieces)
        if (next === undefined) {
          await room.take(beginning.length)
          await small.add(id, beginning)
        } else await files.write(id, continued([beginning, next], pieces))
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

/** All bytes in a buffer of their own or, where they are too many, the first and the next piece. */
async function pullBeginning(
  pieces: AsyncIterator<Uint8Array>,
): Promise<{ beginning: Uint8Array; next?: Uint8Array }> {
  const held: Uint8Array[] = []
  let length = 0
  for (;;) {
    const next = await pieces.next()
    if (next.done === true) return { beginning: joined(held, length) }
    const piece = next.value
    if (length + piece.length > smallBytes) return { beginning: joined(held, length), next: piece }
    held.push(piece)
    length += piece.length
  }
}

/** Not as a part of a larger buffer, which a message to a thread would copy as a whole. */
function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

async function* continued(
  beginning: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* beginning
  yield* { [Symbol.asyncIterator]: () => rest }
}
