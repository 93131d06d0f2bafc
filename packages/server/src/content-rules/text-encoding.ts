/** Tells whether content is UTF-8 while it passes. */

import { isUtf8 } from 'node:buffer'

export type TextEncoding = 'utf-8' | 'binary'

export interface EncodingWatch {
  /** Yields the pieces of `source` unchanged. */
  watch(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** What the content is, once all of it was watched. */
  result(): TextEncoding
}

export function createEncodingWatch(): EncodingWatch {
  let valid = true
  /** The first bytes of a character whose rest is in the next piece: three at most. */
  let begun: Uint8Array = new Uint8Array()

  function inspect(piece: Uint8Array): void {
    const bytes = begun.length === 0 ? piece : Buffer.concat([begun, piece])
    const whole = bytes.length - unfinishedTail(bytes)
    valid = isUtf8(bytes.subarray(0, whole))
    // Copied, because what was yielded belongs to the reader.
    begun = Uint8Array.from(bytes.subarray(whole))
  }

  return {
    async *watch(source) {
      for await (const piece of source) {
        if (valid) inspect(piece)
        yield piece
      }
    },
    result: () => (valid && begun.length === 0 ? 'utf-8' : 'binary'),
  }
}

/** How many of the last bytes begin a character that is not whole (RFC 3629 §3). */
function unfinishedTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    const isContinuation = (byte & 0b1100_0000) === 0b1000_0000
    if (!isContinuation) return back < characterLength(byte) ? back : 0
  }
  return 0
}

function characterLength(firstByte: number): number {
  if (firstByte >= 0b1111_0000) return 4
  if (firstByte >= 0b1110_0000) return 3
  return firstByte >= 0b1100_0000 ? 2 : 1
}
