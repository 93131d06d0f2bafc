import fc from 'fast-check'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { describe, expect, it } from 'vitest'
import { createTokenCounter } from './token-count.ts'

const KiB = 1024
const all = Number.MAX_SAFE_INTEGER
const exact = (text: string) => countTokens(text, { disallowedSpecial: new Set() })

function count(pieces: Iterable<string>, most = all) {
  const counter = createTokenCounter(most)
  for (const piece of pieces) counter.add(piece)
  return { tokens: counter.count(), isOver: counter.isOver() }
}

/** The text in pieces of these lengths, again and again. */
function* cut(text: string, lengths: readonly number[]): Generator<string> {
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1
    yield text.slice(at, at + length)
    at += length
  }
}

/** What people write, in several scripts. */
const word = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom('the', 'Internationalization', "don't", 'a', 'x1') },
  { weight: 3, arbitrary: fc.string({ minLength: 1, maxLength: 12 }) },
  fc.constantFrom('Привет', 'größer', '文章を書く。', '你好，世界', 'مرحبا', 'नमस्ते', '한국어'),
  fc.constantFrom('😀', '👩‍👩‍👧', '🇩🇪', '1234567', '<|endoftext|>', '==>', '…'),
)
const gap = fc.oneof(
  { weight: 12, arbitrary: fc.constant(' ') },
  fc.constantFrom('\n', '\n\n', '\r\n', '  ', '\t', '', '.\n', ', '),
)
const text = fc
  .array(fc.tuple(word, gap), { minLength: 1, maxLength: 200 })
  .map((words) => words.flat().join(''))

describe('the tokens of a text', () => {
  it('are those of gpt-tokenizer, however it is cut', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(text, lengths, (one, pieces) => {
        expect(count(cut(one, pieces)).tokens).toBe(exact(one))
      }),
    )
  })

  it('are those of gpt-tokenizer where the text is longer than what is counted at once', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 100_000 }), (one, length) => {
        // Where no word begins for 64 Ki characters there is no place to cut that is surely right.
        const long = `${one} and `.repeat(Math.ceil((200 * KiB) / one.length))
        expect(count(cut(long, [length])).tokens).toBe(exact(long))
      }),
      { numRuns: 15 },
    )
  })

  it('are nearly those of gpt-tokenizer where no space is for a long time', () => {
    for (const one of ['文章を書くのは楽しい。', '😀', '{"a":1},', 'مرحبا', 'x']) {
      const long = one.repeat(Math.ceil((150 * KiB) / one.length)).slice(0, 150 * KiB)
      const { tokens } = count(cut(long, [70 * KiB + 1]))
      // To count these as a whole would take minutes where they are one word.
      const sample = long.slice(0, 2 * KiB)
      const expected = (exact(sample) / sample.length) * long.length
      expect(Math.abs(tokens - expected) / expected, one).toBeLessThan(0.02)
    }
  })

  it('are counted as far as there may be', () => {
    const words = 'word'.concat(' word'.repeat(99_999))
    expect(count([words], 100_000)).toEqual({ tokens: 100_000, isOver: false })
    const { tokens, isOver } = count(cut(`${words} word`, [1000]), 100_000)
    expect({ tokens, isOver }).toEqual({ tokens: 100_001, isOver: true })
    const early = count([words], 10)
    expect(early.isOver).toBe(true)
    expect(early.tokens).toBeLessThan(20_000)
  })

  it('of nothing are none', () => {
    expect(count([])).toEqual({ tokens: 0, isOver: false })
    expect(count(['', ''], 0)).toEqual({ tokens: 0, isOver: false })
  })

  it.each(['a', 'A', 'é', '漢', '😀', '1', '.', ' ', '\n', '\r\n', "'s", '\u0301', 'aB', '=-'])(
    'are counted soon of a million times %j',
    (one) => {
      const began = performance.now()
      const long = one.repeat(1_000_000 / one.length)
      const { tokens } = count(cut(long, [16 * KiB]))
      expect(tokens).toBeGreaterThan(0)
      expect(performance.now() - began).toBeLessThan(1_500)
    },
    20_000,
  )

  it('do not suffer where half of a character comes alone', () => {
    expect(count(['a \ud83d']).tokens).toBe(exact('a \ud83d'))
    expect(count(['\ude00 a']).tokens).toBe(exact('\ude00 a'))
  })
})
