/** The small chunks of a stream joined to pieces, as large as it is quick. */

import type { Readable } from 'node:stream'

const KiB = 1024

/** A piece of so many bytes is given at once. */
const enoughBytes = 256 * KiB
/** Received while the last piece is in use; with one more chunk, the most that a piece has. */
const aheadBytes = 512 * KiB
/** So long a piece waits for more than its first bytes. */
const patienceMilliseconds = 5

/**
 * Yields all that the stream gives, in pieces of less than one MiB, each in a buffer of its own. The
 * chunks are nobody else's, and are gone afterwards. Destroys the stream if it is left before its end.
 *
 * @throws what the stream fails with, after all that came before.
 */
export async function* gatherPieces(
  stream: Readable,
): AsyncGenerator<Uint8Array, undefined, undefined> {
  let chunks: Uint8Array[] = []
  let bytes = 0
  let isEnded = false
  let failure: Error | undefined
  let wanted = 0
  let wake = () => {}

  function wakeIfDone(): void {
    if (bytes >= wanted || isEnded || failure !== undefined) wake()
  }

  /** Resolves once so many bytes are there, nothing more comes, or the time is over. */
  function has(count: number, milliseconds?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds)
      wanted = count
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
      wakeIfDone()
    })
  }

  stream.on('data', (chunk: Uint8Array) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= aheadBytes) stream.pause()
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
      await has(1)
      await has(enoughBytes, patienceMilliseconds)
      if (bytes === 0) break
      const piece = joined(chunks, bytes)
      chunks = []
      bytes = 0
      stream.resume()
      yield piece
    }
    if (failure !== undefined) throw failure
  } finally {
    // Read to its end, its connection serves the next request.
    if (!isEnded) stream.destroy()
  }
}

/** Not `Buffer.concat`, which may put small pieces into a buffer that others share. */
function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const piece = Buffer.allocUnsafeSlow(bytes)
  let at = 0
  for (const chunk of chunks) {
    piece.set(chunk, at)
    at += chunk.length
    free(chunk)
  }
  return piece
}

/**
 * Gives back at once what the collector would come for later, which made up a third of the time.
 * Of a chunk that has its buffer alone, as those of answers have.
 */
function free({ buffer, length }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0)
}
