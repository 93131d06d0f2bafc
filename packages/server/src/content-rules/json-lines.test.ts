import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { watchLines } from './json-lines.ts'

interface Seen {
  readonly number: number
  readonly offset: number
  readonly text: string | undefined
}

function linesOf(pieces: Iterable<Uint8Array>, mostBytes = 1000): Seen[] {
  const seen: Seen[] = []
  const watch = watchLines({ mostBytes, dropsMark: true }, (line) => {
    const { number, offset, source, start, end, isTooLong } = line
    const text = source.toString('latin1', start, end)
    seen.push({ number, offset, text: isTooLong ? undefined : text })
  })
  for (const piece of pieces) {
    watch.add(piece)
    // Whoever gave it writes what comes next into the same memory.
    piece.fill(0x21)
  }
  watch.end()
  return seen
}

function cut(content: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (const length of lengths) {
    pieces.push(Uint8Array.from(content.subarray(at, at + length)))
    at += length
  }
  return [...pieces, Uint8Array.from(content.subarray(at))]
}

/** The same, by other means. */
function expected(content: Buffer, mostBytes: number): Seen[] {
  const text = content.toString('latin1')
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  let offset = 0
  return lines.map((line, index) => {
    const begin = offset
    offset += line.length + 1
    let bare = line.endsWith('\r') ? line.slice(0, -1) : line
    if (index === 0 && bare.startsWith('\xef\xbb\xbf')) bare = bare.slice(3)
    const isTooLong = bare.length > mostBytes
    return { number: index + 1, offset: begin, text: isTooLong ? undefined : bare }
  })
}

describe('the lines of content', () => {
  it.each([
    ['', []],
    ['a', ['a']],
    ['a\n', ['a']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['\n\na', ['', '', 'a']],
    ['\xef\xbb\xbfa\nb', ['a', 'b']],
    ['a\n\xef\xbb\xbfb', ['a', '\xef\xbb\xbfb']],
    ['a\rb\n\r', ['a\rb', '']],
  ])('%j', (content, lines) => {
    const seen = linesOf([Buffer.from(content, 'latin1')])
    expect(seen.map(({ text }) => text)).toEqual(lines)
  })

  it('are the same wherever their pieces are cut, with their numbers and offsets', () => {
    const byte = fc.constantFrom(...Buffer.from('ab\n\r\xef\xbb\xbf', 'latin1'))
    fc.assert(
      fc.property(
        fc.array(byte, { maxLength: 60 }),
        fc.boolean(),
        fc.array(fc.nat(12), { maxLength: 12 }),
        fc.integer({ min: 0, max: 8 }),
        (bytes, hasMark, lengths, mostBytes) => {
          const content = Buffer.from(hasMark ? [0xef, 0xbb, 0xbf, ...bytes] : bytes)
          expect(linesOf(cut(content, lengths), mostBytes)).toEqual(expected(content, mostBytes))
        },
      ),
      { numRuns: 2000 },
    )
  })
})
