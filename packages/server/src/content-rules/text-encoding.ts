/** Tells whether content is UTF-8 while it passes. */

import { isUtf8 } from 'node:buffer'

export type TextEncoding = 'utf-8' | 'binary'

export interface EncodingWatch {
  /** Yields the pieces of `source` unchanged. */
  watch(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** What the content is, once all of it was watched. */
  result(): TextEncoding
  /** The same of content that may be cut in the middle of a character, for `joinTextEdges`. */
  edges(): TextEdges
}

/** `binary`, or the bytes at both ends that only are text with what comes before or after. */
export type TextEdges = 'binary' | { readonly head: Uint8Array; readonly tail: Uint8Array }

export function createEncodingWatch(): EncodingWatch {
  let valid = true
  /** The first bytes, where they can only end a character that begins before: three at most. */
  let head: Uint8Array = new Uint8Array()
  let isHeadWhole = false
  /** The first bytes of a character whose rest is in the next piece: three at most. */
  let begun: Uint8Array = new Uint8Array()

  /** @returns what comes behind the head. */
  function takeHead(piece: Uint8Array): Uint8Array {
    if (isHeadWhole) return piece
    let end = 0
    while (end < piece.length && head.length + end < 3 && isContinuation(piece[end] ?? 0)) end += 1
    isHeadWhole = end < piece.length
    head = Uint8Array.from([...head, ...piece.subarray(0, end)])
    return piece.subarray(end)
  }

  function inspect(whole: Uint8Array): void {
    const piece = takeHead(whole)
    const bytes = begun.length === 0 ? piece : Buffer.concat([begun, piece])
    const length = bytes.length - unfinishedTail(bytes)
    valid = isUtf8(bytes.subarray(0, length))
    // Copied, because what was yielded belongs to the reader.
    begun = Uint8Array.from(bytes.subarray(length))
  }

  return {
    async *watch(source) {
      for await (const piece of source) {
        if (valid) inspect(piece)
        yield piece
      }
    },
    result: () => (valid && head.length === 0 && begun.length === 0 ? 'utf-8' : 'binary'),
    edges: () => (valid ? { head, tail: begun } : 'binary'),
  }
}

/** What content is that consists of parts, one after the other. */
export function joinTextEdges(
  parts: Iterable<{ readonly bytes: number; readonly edges: TextEdges }>,
): TextEncoding {
  let begun: Uint8Array = new Uint8Array()
  for (const { bytes, edges } of parts) {
    if (edges === 'binary') return 'binary'
    const character = Buffer.concat([begun, edges.head])
    if (edges.head.length === bytes) {
      // A part of so few bytes may have the middle of a character, and no end of one.
      begun = character
      continue
    }
    if (!isUtf8(character)) return 'binary'
    begun = edges.tail
  }
  return isUtf8(begun) ? 'utf-8' : 'binary'
}

function isContinuation(byte: number): boolean {
  return (byte & 0b1100_0000) === 0b1000_0000
}

/** How many of the last bytes begin a character that is not whole (RFC 3629 §3). */
function unfinishedTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if (!isContinuation(byte)) return back < characterLength(byte) ? back : 0
  }
  return 0
}

function characterLength(firstByte: number): number {
  if (firstByte >= 0b1111_0000) return 4
  if (firstByte >= 0b1110_0000) return 3
  return firstByte >= 0b1100_0000 ? 2 : 1
}
