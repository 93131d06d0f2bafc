import { limits } from '@coffer/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ServiceError } from './errors.ts'
import { toFilename } from './filename.ts'

describe('a filename', () => {
  it.each([
    ['train.jsonl', 'train.jsonl'],
    ['a b  c.txt', 'a b  c.txt'],
    [' leading and trailing ', ' leading and trailing '],
    ['né 中 😀.txt', 'né 中 😀.txt'],
    ['.hidden', '.hidden'],
    ['...', '...'],
    ['a..', 'a..'],
    ['%2e%2e%2fpasswd', '%2e%2e%2fpasswd'],
    ['a:b*c?"<>|', 'a:b*c?"<>|'],
  ])('%j stays as it was sent', (sent, kept) => {
    expect(toFilename(sent)).toBe(kept)
  })

  it.each([
    ['/etc/passwd', 'passwd'],
    ['../../up.txt', 'up.txt'],
    ['C:\\Users\\me\\a.txt', 'a.txt'],
    ['C:\\mixed/a\\b.txt', 'b.txt'],
    ['mixed\\a/b.txt', 'b.txt'],
    ['a//b', 'b'],
    ['a/ ', ' '],
  ])('%j is cut to its last part', (sent, kept) => {
    expect(toFilename(sent)).toBe(kept)
  })

  it.each([undefined, '', '.', '..', '/', 'a/', 'a\\', 'a/.', 'a\\..', '../..', '\\/'])(
    'is the standard one where %j names nothing',
    (sent) => {
      expect(toFilename(sent)).toBe('file')
    },
  )

  it('keeps the marks of direction and the joiners that real names have', () => {
    for (const mark of ['\u200e', '\u200f', '\u202e', '\u2066', '\u2069', '\u200d', '\ufeff']) {
      expect(toFilename(`a${mark}b.txt`)).toBe(`a${mark}b.txt`)
    }
  })

  it('is refused for every control character, wherever it stands', () => {
    const controls = [...range(0x00, 0x1f), ...range(0x7f, 0x9f)]
    for (const code of controls) {
      const control = String.fromCharCode(code)
      for (const name of [control, `${control}a`, `a${control}b`, `a${control}`, `a/${control}`]) {
        expect(refusalOf(name), JSON.stringify(name)).toContain('control character')
      }
    }
    for (const code of [0x20, 0x7e, 0xa0]) {
      expect(toFilename(`a${String.fromCharCode(code)}b`)).toHaveLength(3)
    }
  })

  it('may have a control character in the folders that are cut off', () => {
    expect(toFilename('a\nb/c')).toBe('c')
  })

  it.each(['\ud800', 'a\udc00', '\ude00\ud83d'])('is refused with a lone surrogate: %j', (name) => {
    expect(refusalOf(name)).toContain('not valid Unicode')
  })

  it('has at most so many bytes, however many characters those are', () => {
    const most = limits.filenameBytes
    for (const [character, bytes] of [
      ['a', 1],
      ['é', 2],
      ['😀', 4],
    ] as const) {
      const longest = character.repeat(most / bytes)
      expect(toFilename(longest)).toBe(longest)
      expect(refusalOf(`${longest}a`)).toContain(`exceeds ${most} bytes`)
    }
  })

  it('is not too long for the folders that are cut off', () => {
    expect(toFilename(`${'a'.repeat(2 * limits.filenameBytes)}/b`)).toBe('b')
  })

  it('is always one name that can be shown, or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.oneof(pieces, fc.string({ maxLength: 3 })) }), (sent) => {
        if (refusalOf(sent) !== undefined) return
        const name = toFilename(sent)
        expect(name).not.toMatch(/[/\\\p{Cc}\p{Cs}]/u)
        expect(['', '.', '..']).not.toContain(name)
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(limits.filenameBytes)
        // It may come back from where it was shown, and is the same then.
        expect(toFilename(name)).toBe(name)
      }),
      { numRuns: 2_000 },
    )
  })
})

const pieces = fc.constantFrom('/', '\\', '.', '..', '\0', '\n', '\x85', '\ud800', '\u202e', 'é')

/** Why the name is refused, if it is. */
function refusalOf(name: string): string | undefined {
  try {
    toFilename(name)
    return undefined
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    expect(error).toMatchObject({ code: 'filename_invalid', param: 'file' })
    return error.message
  }
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at)
}
