import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createIds, createRandom, type Ids } from './ids.ts'

const letter = '[1-9A-HJ-NP-Za-km-z]'

const forms: [keyof Ids, number, RegExp][] = [
  ['file', 16, new RegExp(`^file-${letter}{22}$`)],
  ['blob', 16, /^[0-9a-f]{32}$/],
  ['organization', 16, new RegExp(`^org-${letter}{22}$`)],
  ['project', 16, new RegExp(`^proj_${letter}{22}$`)],
  ['apiKey', 16, new RegExp(`^key_${letter}{22}$`)],
  ['secret', 32, new RegExp(`^sk-coffer-${letter}{44}$`)],
]

describe.each(forms)('the id of kind %s', (kind, bytes, form) => {
  const idOf = (random: Uint8Array) => createIds(() => Buffer.from(random))[kind]()

  it('has the same form and length for any random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: bytes, maxLength: bytes }), (random) => {
        expect(idOf(random)).toMatch(form)
      }),
      { numRuns: 500 },
    )
    for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
      expect(idOf(Buffer.alloc(bytes, value)), `all ${value}`).toMatch(form)
    }
  })

  it('holds all of the random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: bytes, maxLength: bytes }), (random) => {
        expect(numberOf(idOf(random))).toBe(BigInt(`0x${Buffer.from(random).toString('hex')}`))
      }),
      { numRuns: 500 },
    )
  })

  it(`asks for ${bytes} random bytes each time`, () => {
    const asked: number[] = []
    const ids = createIds((count) => {
      asked.push(count)
      return randomBytes(count)
    })
    expect(ids[kind]()).not.toBe(ids[kind]())
    expect(asked).toEqual([bytes, bytes])
  })
})

const letters = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).filter((text) =>
  new RegExp(letter).test(text),
)

/** The number that an id writes: in hexadecimal, or in the letters above with the lowest first. */
function numberOf(id: string): bigint {
  if (/^[0-9a-f]{32}$/.test(id)) return BigInt(`0x${id}`)
  const digits = [...id.replace(/^.*[-_]/, '')].map((text) => BigInt(letters.indexOf(text)))
  return digits.reduceRight((value, digit) => value * 58n + digit, 0n)
}

describe('createRandom', () => {
  it('gives no byte twice', () => {
    let drawn = 0
    const random = createRandom((bytes) => {
      for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32BE(drawn++, at)
      return bytes
    })
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1024 }), { maxLength: 20 }), (sizes) => {
        const given = sizes.map((size) => random(size * 4))
        expect(given.map(({ length }) => length)).toEqual(sizes.map((size) => size * 4))
        const numbers = given.flatMap((bytes) =>
          Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readUInt32BE(at * 4)),
        )
        expect(new Set(numbers).size).toBe(numbers.length)
      }),
      { numRuns: 20 },
    )
  })
})
