/** Blobs in this process's memory, gone when it ends: for tests. */

import { type BlobDriver, pieceBytes } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'

export function createMemoryDriver(): BlobDriver {
  const blobs = new Map<string, Buffer>()
  let mark: string | undefined

  return {
    async write(id, source) {
      if (blobs.has(id)) throw new BlobError('exists', `Blob ${id} exists.`)
      const pieces: Uint8Array[] = []
      for await (const piece of source) pieces.push(Uint8Array.from(piece))
      if (blobs.has(id)) throw new BlobError('exists', `Blob ${id} exists.`)
      blobs.set(id, Buffer.concat(pieces))
    },

    async *read(id, { start, end }) {
      const content = blobs.get(id)
      if (content === undefined) throw new BlobError('not-found', `Blob ${id} does not exist.`)
      if (content.length < end) throw new BlobError('damaged', `Blob ${id} is too short.`)
      for (let at = start; at < end; at += pieceBytes) {
        yield Uint8Array.from(content.subarray(at, Math.min(at + pieceBytes, end)))
      }
    },

    async delete(id) {
      blobs.delete(id)
    },

    async *list(prefix) {
      for (const id of blobs.keys()) if (id.startsWith(prefix)) yield id
    },

    readMark: async () => mark,
    async writeMark(text) {
      mark = text
    },
    async check() {},
    async tidy() {},
    async close() {},
  }
}
