import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Line } from './json-lines.ts'
import { hasTooManyMembers, mostMembers, parseObject } from './json-objects.ts'

function lineOf(text: string, before = '', behind = ''): Line {
  const source = Buffer.from(before + text + behind)
  const start = Buffer.byteLength(before)
  return {
    ...{ number: 1, offset: 0, source, start, end: start + Buffer.byteLength(text) },
    ...{ isAscii: false, isTooLong: false },
  }
}

describe('the members of a line', () => {
  it.each([
    ['names', '"":0,', '"":0'],
    ['objects', '{},', '{}'],
    ['arrays', '[],', '[]'],
    ['nested arrays', '[', '['],
    ['nested objects without a name', '{', '{'],
  ])('may be so many %s, and one more is too many', (_, piece, last) => {
    const most = piece.repeat(mostMembers - 1) + last
    expect(hasTooManyMembers(lineOf(most))).toBe(false)
    expect(hasTooManyMembers(lineOf(piece + most))).toBe(true)
  })

  it('are not what stands in strings', () => {
    const text = `{"a":"${'[{:'.repeat(mostMembers)}"}`
    expect(hasTooManyMembers(lineOf(text))).toBe(false)
    const escaped = `{"a":"${'\\"['.repeat(mostMembers)}\\\\"}`
    expect(hasTooManyMembers(lineOf(escaped))).toBe(false)
    const behind = `{"a":"\\\\"${',[]'.repeat(mostMembers)}}`
    expect(hasTooManyMembers(lineOf(behind))).toBe(true)
  })

  it('are not those of the lines beside it', () => {
    const many = '[],'.repeat(mostMembers)
    expect(hasTooManyMembers(lineOf(`{"a":"${'x'.repeat(mostMembers)}`, many, `"${many}`))).toBe(
      false,
    )
  })

  it('are counted soon, whatever the line is', () => {
    for (const text of ['"', '\\', '"\\', '""', '\\"', '[', 'x'].map((one) =>
      one.repeat((16 * 1024 * 1024) / one.length),
    )) {
      const began = performance.now()
      hasTooManyMembers(lineOf(`{"a":"${text}`))
      expect(performance.now() - began).toBeLessThan(3_000)
    }
  })
})

describe('a line as an object', () => {
  it('is what JSON says, whatever stands around it', () => {
    fc.assert(
      fc.property(fc.json(), fc.string({ unit: 'grapheme' }), (text, around) => {
        const value: unknown = JSON.parse(text)
        const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
        expect(parseObject(lineOf(text, around, around))).toEqual(isObject ? value : undefined)
      }),
    )
  })

  it('is none where it is no JSON', () => {
    for (const text of [
      '',
      '{',
      '{"a":1}}',
      "{'a':1}",
      '{"a":1,}',
      '\ufeff{}',
      'null',
      '[]',
      '1',
    ]) {
      expect(parseObject(lineOf(text))).toBeUndefined()
    }
  })
})
