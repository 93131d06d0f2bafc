import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEncodingWatch, joinTextEdges, type TextEncoding } from './text-encoding.ts'

const MiB = 1024 * 1024

describe('the encoding of content', () => {
  it.each<[string, number[]]>([
    ['nothing', []],
    ['letters', [0x61, 0x62]],
    ['a NUL and other control characters', [0x00, 0x1b, 0x7f]],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x61]],
    ['the first character of two bytes', [0xc2, 0x80]],
    ['the last character of two bytes', [0xdf, 0xbf]],
    ['the first character of three bytes', [0xe0, 0xa0, 0x80]],
    ['the last character before the surrogates', [0xed, 0x9f, 0xbf]],
    ['the first character behind the surrogates', [0xee, 0x80, 0x80]],
    ['the last character of three bytes', [0xef, 0xbf, 0xbf]],
    ['the first character of four bytes', [0xf0, 0x90, 0x80, 0x80]],
    ['the last character of all', [0xf4, 0x8f, 0xbf, 0xbf]],
  ])('is UTF-8 with %s', async (_, bytes) => {
    expect(await encodingsOf(bytes)).toEqual(['utf-8'])
  })

  it.each<[string, number[]]>([
    ['a lone continuation byte', [0x80]],
    ['four continuation bytes', [0xbf, 0xbf, 0xbf, 0xbf]],
    ['a continuation byte too many', [0xc3, 0xa9, 0xa9]],
    ['a slash in two bytes', [0xc0, 0xaf]],
    ['a delete in two bytes', [0xc1, 0xbf]],
    ['a slash in three bytes', [0xe0, 0x80, 0xaf]],
    ['a character of two bytes in three', [0xe0, 0x9f, 0xbf]],
    ['a character of three bytes in four', [0xf0, 0x8f, 0xbf, 0xbf]],
    ['the first surrogate', [0xed, 0xa0, 0x80]],
    ['the last surrogate', [0xed, 0xbf, 0xbf]],
    ['a pair of surrogates', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
    ['a number behind the last character', [0xf4, 0x90, 0x80, 0x80]],
    ['a character of five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
    ['a byte that never occurs', [0xff]],
    ['UTF-16', [0xff, 0xfe, 0x61, 0x00]],
  ])('is binary with %s', async (_, bytes) => {
    expect(await encodingsOf(bytes)).toEqual(['binary'])
  })

  it.each(['é', '中', '😀'])('is binary where %s is cut off at any place', async (character) => {
    const whole = [...Buffer.from(`a${character}`)]
    expect(await encodingsOf(whole)).toEqual(['utf-8'])
    for (let end = 2; end < whole.length; end += 1) {
      const cut = whole.slice(0, end)
      expect(await encodingsOf(cut), `the first ${end} bytes`).toEqual(['binary'])
      expect(await encodingsOf([...cut, 0x61]), `a letter behind ${end}`).toEqual(['binary'])
    }
  })

  it('stays binary once it was', async () => {
    expect(await encodingsOf([0xff, ...Buffer.from('éé')])).toEqual(['binary'])
  })

  it('is what Node says of the whole, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(contents, fc.array(fc.nat(5), { minLength: 1 }), async (bytes, sizes) => {
        expect(await encodingOf(cut(bytes, sizes))).toBe(isUtf8(bytes) ? 'utf-8' : 'binary')
      }),
      { numRuns: 3_000 },
    )
  })

  it('is that of large content too', async () => {
    const text = Buffer.from('😀'.repeat(MiB / 4))
    expect(await encodingOf(cut(text, [64 * 1024 + 1]))).toBe('utf-8')
    const broken = Buffer.concat([text, Buffer.of(0xf0)])
    expect(await encodingOf(cut(broken, [64 * 1024 + 1]))).toBe('binary')
  })
})

describe('the encoding of parts', () => {
  it('is that of their whole, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(contents, fc.array(fc.nat(5), { minLength: 1 }), async (bytes, sizes) => {
        const parts = await Promise.all(
          cut(bytes, sizes).map(async (part) => {
            const watch = createEncodingWatch()
            for await (const _ of watch.watch(from(cut(part, [1, 2]))));
            return { bytes: part.length, edges: watch.edges() }
          }),
        )
        expect(joinTextEdges(parts)).toBe(isUtf8(bytes) ? 'utf-8' : 'binary')
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('a watch of content', () => {
  it('yields its pieces unchanged and as they are, text or not', async () => {
    for (const content of [Buffer.from('aé中😀'), Buffer.of(0xff, 0xc3, 0xa9, 0xe4)]) {
      const sent = cut(content, [1, 0, 3])
      const copies = sent.map((piece) => Buffer.from(piece))
      const got = await Array.fromAsync(createEncodingWatch().watch(from(sent)))
      expect(got).toHaveLength(sent.length)
      for (const [at, piece] of got.entries()) expect(piece).toBe(sent[at])
      expect(sent).toEqual(copies)
    }
  })

  it('does not look again at a piece that it yielded', async () => {
    const watch = createEncodingWatch()
    for await (const piece of watch.watch(from(cut(Buffer.from('中中'), [2])))) piece.fill(0xff)
    expect(watch.result()).toBe('utf-8')
  })

  it('passes on the error of its source', async () => {
    const failure = new Error('The client left.')
    async function* source() {
      yield Buffer.from('a')
      throw failure
    }
    const watched = Array.fromAsync(createEncodingWatch().watch(source()))
    await expect(watched).rejects.toBe(failure)
  })
})

/** Bytes that are text for the most part, broken here and there. */
const contents = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }).map(Buffer.from) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4 }).map(Buffer.from) },
      // The bytes at which the rules of UTF-8 change.
      {
        weight: 1,
        arbitrary: fc
          .constantFrom(
            0x7f,
            0x80,
            0xbf,
            0xc0,
            0xc2,
            0xdf,
            0xe0,
            0xed,
            0xef,
            0xf0,
            0xf4,
            0xf5,
            0xff,
          )
          .map((byte) => Buffer.of(byte)),
      },
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts))

/** The encodings that the bytes have in one piece, byte by byte and cut in two at every place. */
async function encodingsOf(bytes: number[]): Promise<TextEncoding[]> {
  const content = Buffer.from(bytes)
  const encodings = new Set([await encodingOf([content]), await encodingOf(cut(content, [1]))])
  for (let at = 0; at <= content.length; at += 1) {
    encodings.add(await encodingOf([content.subarray(0, at), content.subarray(at)]))
  }
  return [...encodings]
}

async function encodingOf(pieces: readonly Uint8Array[]): Promise<TextEncoding> {
  const watch = createEncodingWatch()
  for await (const _ of watch.watch(from(pieces)));
  return watch.result()
}

async function* from(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}

/** Pieces of these sizes, again from the first after the last; an empty one may be among them. */
function cut(content: Buffer, sizes: readonly number[]): Buffer[] {
  if (sizes.every((size) => size === 0)) return [content]
  const pieces: Buffer[] = []
  for (let at = 0, turn = 0; at < content.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 0
    pieces.push(content.subarray(at, at + size))
    at += size
  }
  return pieces
}
