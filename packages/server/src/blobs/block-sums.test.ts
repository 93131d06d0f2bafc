import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BlobStore, createBlobStore, type KnownBlob } from './blob-store.ts'
import { blockBytes, createBlockSums } from './block-sums.ts'
import { createMemoryDriver } from './memory.ts'

const size = 3 * blockBytes + 1234

describe('checksums of blocks', () => {
  it('are the same in whatever pieces the content comes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 8 }), (sizes) => {
        const content = bytes(sizes.reduce((sum, part) => sum + part, 0))
        const whole = createBlockSums()
        whole.add(content)
        const cut = createBlockSums()
        let at = 0
        for (const part of sizes) {
          cut.add(content.subarray(at, at + part))
          at += part
        }
        const table = whole.result()
        expect(cut.result()).toEqual(table)
        expect(table.length).toBe(8 * Math.ceil(content.length / blockBytes))
      }),
      { numRuns: 50 },
    )
  })
})

describe('damaged content', () => {
  it.each(kinds())('is never given, whatever range is asked for: %s', async (_, damage) => {
    const { store, blob, damaged } = await openDamaged(damage)
    const original = bytes(size)
    const places = fc.integer({ min: 0, max: size })
    await fc.assert(
      fc.asyncProperty(places, places, async (one, other) => {
        fc.pre(one !== other)
        const range = { start: Math.min(one, other), end: Math.max(one, other) }
        const touched = blocksOf(range).some((block) => damaged.has(block))
        const { read, failure } = await readAll(store, blob, range)
        expect(failure).toBe(touched ? 'damaged' : undefined)
        // What came before the failure is right, too.
        expect(read.equals(original.subarray(range.start, range.start + read.length))).toBe(true)
        if (!touched) expect(read.length).toBe(range.end - range.start)
      }),
      { numRuns: 40 },
    )
  })
})

type Damage = (content: Buffer) => Buffer

function kinds(): [string, Damage][] {
  const flips = [0, blockBytes - 1, blockBytes, 2 * blockBytes + 77, size - 1]
  return [
    ...flips.map((at): [string, Damage] => [
      `a bit of byte ${at}`,
      (content) => {
        content[at] = (content[at] ?? 0) ^ 4
        return content
      },
    ]),
    ['a page of zeros', (content) => content.fill(0, blockBytes + 4096, blockBytes + 8192)],
    ['cut to a block', (content) => content.subarray(0, blockBytes)],
    ['cut by a byte', (content) => content.subarray(0, size - 1)],
    ['cut to nothing', (content) => content.subarray(0, 0)],
    ['two blocks in each other’s place', swapBlocks],
    ['other content of the same size', (content) => Buffer.alloc(content.length, 'other')],
  ]
}

function swapBlocks(content: Buffer): Buffer {
  return Buffer.concat([
    content.subarray(blockBytes, 2 * blockBytes),
    content.subarray(0, blockBytes),
    content.subarray(2 * blockBytes),
  ])
}

/** A store whose one blob is not what was written any more, and which of its blocks are not. */
async function openDamaged(damage: Damage) {
  const driver = createMemoryDriver()
  const store = createBlobStore(driver)
  const original = bytes(size)
  const { checksums } = await store.write('aa01', pieces(original), { maxBytes: size })
  const content = damage(Buffer.from(original))
  await driver.delete('aa01')
  await driver.write('aa01', pieces(content))
  const damaged = new Set(
    blocksOf({ start: 0, end: size }).filter((block) => {
      const range = [block * blockBytes, Math.min((block + 1) * blockBytes, size)] as const
      return !original.subarray(...range).equals(content.subarray(...range))
    }),
  )
  return { store, blob: { id: 'aa01', bytes: size, checksums }, damaged }
}

async function readAll(store: BlobStore, blob: KnownBlob, range: { start: number; end: number }) {
  const read: Uint8Array[] = []
  let failure: unknown
  try {
    for await (const piece of store.read(blob, range)) read.push(piece)
  } catch (error) {
    failure = error instanceof Error && 'code' in error ? error.code : error
  }
  return { read: Buffer.concat(read), failure }
}

function blocksOf({ start, end }: { start: number; end: number }): number[] {
  const first = Math.floor(start / blockBytes)
  const count = end > start ? Math.ceil(end / blockBytes) - first : 0
  return Array.from({ length: count }, (_, at) => first + at)
}

/** Bytes that tell where they stand. */
function bytes(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at + 1, 0x9e37_79b1)
  return Buffer.from(words.buffer, 0, length)
}

async function* pieces(content: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000)
}
