/** The small chunks of a stream joined to pieces of whole blocks. */

import type { Readable } from 'node:stream'
import { blockBytes } from './block-sums.ts'

/** Received while the last piece is in use; with one more chunk, the most that a piece has. */
const aheadBytes = 2 * blockBytes

/**
 * Yields all that the stream gives, in pieces of less than one MiB, each in a buffer of its own. The
 * chunks are nobody else's, and are gone afterwards. Destroys the stream if it is left before its end.
 *
 * All pieces but the last end where a block of the blob does: no byte is used before the whole of its
 * block is there and checked, so others would only be held.
 *
 * @param start where the stream begins in the blob.
 * @throws what the stream fails with, after all that came before.
 */
export async function* gatherPieces(
  stream: Readable,
  start: number,
): AsyncGenerator<Uint8Array, undefined, undefined> {
  const received = createReceived()
  let at = start
  let isEnded = false
  let failure: Error | undefined
  let wanted = 0
  let wake = () => {}

  function wakeIfDone(): void {
    if (received.bytes >= wanted || isEnded || failure !== undefined) wake()
  }

  /** Resolves once so many bytes are there, or nothing more comes. */
  function has(count: number): Promise<void> {
    return new Promise((resolve) => {
      wanted = count
      wake = resolve
      wakeIfDone()
    })
  }

  stream.on('data', (chunk: Uint8Array) => {
    received.add(chunk)
    if (received.bytes >= aheadBytes) stream.pause()
    wakeIfDone()
  })
  stream.once('end', () => {
    isEnded = true
    wakeIfDone()
  })
  stream.on('error', (error) => {
    failure ??= error
    wakeIfDone()
  })
  stream.once('close', () => {
    if (!isEnded) failure ??= new Error('The connection was closed.')
    wakeIfDone()
  })

  try {
    for (;;) {
      await has(blockBytes - (at % blockBytes))
      if (received.bytes === 0) break
      const pastBlock = (at + received.bytes) % blockBytes
      const piece = received.take(received.bytes - (pastBlock < received.bytes ? pastBlock : 0))
      at += piece.length
      if (received.bytes < aheadBytes) stream.resume()
      yield piece
    }
    if (failure !== undefined) throw failure
  } finally {
    // Read to its end, its connection serves the next request.
    if (!isEnded) stream.destroy()
  }
}

/** Chunks that wait to become pieces. */
function createReceived() {
  let chunks: Uint8Array[] = []
  let bytes = 0
  return {
    get bytes() {
      return bytes
    },
    add(chunk: Uint8Array): void {
      chunks.push(chunk)
      bytes += chunk.length
    },
    /** Not `Buffer.concat`, which may put small pieces into a buffer that others share. */
    take(count: number): Uint8Array {
      const piece = Buffer.allocUnsafeSlow(count)
      let filled = 0
      let used = 0
      for (const chunk of chunks) {
        const part = chunk.subarray(0, count - filled)
        piece.set(part, filled)
        filled += part.length
        if (part.length < chunk.length) {
          chunks[used] = chunk.subarray(part.length)
          break
        }
        used += 1
        free(chunk)
      }
      chunks = chunks.slice(used)
      bytes -= count
      return piece
    },
  }
}

/**
 * Gives back at once what the collector would come for later, which made up a third of the time.
 * Of a chunk that has its buffer alone, as those of answers have.
 */
function free({ buffer, length }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0)
}
