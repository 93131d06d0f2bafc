/** What a document is read from, and what reading it may cost. */

import { DocumentError, damaged } from './document-error.ts'

/** Content that can be read anywhere, as a file on a disk. */
export interface RandomAccess {
  readonly bytes: number
  /** All bytes from `start` up to, but not including, `end`; they are the caller's own. */
  read(start: number, end: number): Promise<Uint8Array>
}

export interface DocumentLimits {
  /** Of a PDF. */
  readonly pages: number
  /**
   * What may be unpacked, and also what may be yielded: a small document can say one text a
   * million times.
   */
  readonly unpackedBytes: number
}

/** Yields all bytes in order, in pieces of so many. */
export async function* readInOrder(
  content: RandomAccess,
  pieceBytes: number,
): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < content.bytes; start += pieceBytes) {
    yield await content.read(start, Math.min(content.bytes, start + pieceBytes))
  }
}

/** Text is yielded once there is so much of it, in UTF-16 units. */
export const pieceLength = 16 * 1024

export interface WatchedContent extends RandomAccess {
  /** What the content itself failed with; a library may have wrapped it or said something else. */
  failure(): unknown
}

/** Refuses ranges that only a damaged document asks for. */
export function watchContent(content: RandomAccess): WatchedContent {
  let failure: unknown
  return {
    bytes: content.bytes,
    async read(start, end) {
      if (!(start >= 0 && start <= end && end <= content.bytes)) {
        throw damaged('it is cut off, or points to a place outside of itself')
      }
      try {
        return await content.read(start, end)
      } catch (error) {
        failure ??= error
        throw error
      }
    },
    failure: () => failure,
  }
}

/** What is left of `unpackedBytes`; both throw DocumentError where that is less. */
export interface Allowance {
  take(bytes: number): void
  /** Takes nothing yet. */
  expect(bytes: number): void
}

export function createAllowance({ unpackedBytes }: DocumentLimits): Allowance {
  let left = unpackedBytes

  function expect(bytes: number): void {
    if (bytes <= left) return
    const message = `The document unpacks to more than ${unpackedBytes} bytes, so that its text is not read.`
    throw new DocumentError('unpacks_too_large', message)
  }

  return {
    take(bytes) {
      expect(bytes)
      left -= bytes
    },
    expect,
  }
}
