/** Content cut into lines while it passes, wherever its pieces are cut. */

import { isAscii } from 'node:buffer'

export interface Line {
  /** From 1, empty ones counted. */
  readonly number: number
  /** Of its first byte, from the beginning of the content. */
  readonly offset: number
  /** Has the line from `start` to before `end`, its own end left out, be it LF or CRLF. */
  readonly source: Buffer
  readonly start: number
  readonly end: number
  /** Whether all of its bytes are, which is known for a whole piece at once. */
  readonly isAscii: boolean
  /** Whether it is longer than may be, so that its bytes are not here. */
  readonly isTooLong: boolean
}

export interface LineWatch {
  /** The piece is its owner's again after the call. */
  add(piece: Uint8Array): void
  /** To be called once, after the last piece: a last line needs no end. */
  end(): void
}

export interface LineWatchOptions {
  /** Of a line, without its end. */
  readonly mostBytes: number
  /** Whether a byte order mark is left out of the first line. */
  readonly dropsMark: boolean
}

/** Of a line that is read, in bytes: what training with images takes, and what a thread can hold. */
export const mostLineBytes = 16 * 1024 * 1024

const [lf, cr] = [0x0a, 0x0d]
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/**
 * Nothing is copied but lines that go on in the next piece, up to `mostBytes` of each.
 *
 * @param take is given each line, whose source is not its own after the call.
 */
export function watchLines(
  { mostBytes, dropsMark }: LineWatchOptions,
  take: (line: Line) => void,
): LineWatch {
  let number = 1
  /** Of the line that has begun. */
  let offset = 0
  let passed = 0
  /** What came of that line in the pieces before. */
  let held: Uint8Array[] = []
  let heldBytes = 0

  function hold(bytes: Uint8Array): void {
    // The mark and CR may come off yet; what is longer than with them is too long in any case.
    const room = Math.max(0, mostBytes + byteOrderMark.length + 1 - heldBytes)
    if (room > 0 && bytes.length > 0) held.push(Uint8Array.from(bytes.subarray(0, room)))
    heldBytes += bytes.length
  }

  /** A line that came in several pieces. */
  function takeHeld(): void {
    const source = Buffer.concat(held)
    const isCut = source.length < heldBytes
    held = []
    heldBytes = 0
    takeFrom(source, 0, source.length, isAscii(source), isCut)
  }

  function takeFrom(source: Buffer, from: number, to: number, isAscii: boolean, isCut = false) {
    const end = !isCut && to > from && source[to - 1] === cr ? to - 1 : to
    const start = number === 1 && dropsMark && hasMark(source, from) ? from + 3 : from
    const isTooLong = isCut || end - start > mostBytes
    take({ number, offset, source, start, end: isTooLong ? start : end, isAscii, isTooLong })
  }

  return {
    add(piece) {
      const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length)
      const allAscii = isAscii(bytes)
      let start = 0
      for (;;) {
        const end = bytes.indexOf(lf, start)
        if (end === -1) break
        if (heldBytes === 0) {
          takeFrom(bytes, start, end, allAscii)
        } else {
          hold(bytes.subarray(start, end))
          takeHeld()
        }
        start = end + 1
        number += 1
        offset = passed + start
      }
      hold(bytes.subarray(start))
      passed += bytes.length
    },
    end() {
      if (heldBytes > 0) takeHeld()
    },
  }
}

function hasMark(source: Buffer, at: number): boolean {
  return byteOrderMark.equals(source.subarray(at, at + byteOrderMark.length))
}
