import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blockBytes } from './block-sums.ts'
import { gatherPieces } from './gather-pieces.ts'

const KiB = 1024

describe('pieces of a stream', () => {
  it('are all of its bytes, by whole blocks, in buffers of their own of less than a MiB', async () => {
    const start = fc.nat(2 * blockBytes)
    const sizes = fc.array(fc.integer({ min: 1, max: 70 * KiB }), { maxLength: 40, size: 'max' })
    await fc.assert(
      fc.asyncProperty(start, sizes, async (from, all) => {
        const given = await Array.fromAsync(gatherPieces(Readable.from(chunksOf(all)), from))
        expect(Buffer.concat(given).equals(Buffer.concat(chunksOf(all)))).toBe(true)
        expect(new Set(given.map(({ buffer }) => buffer)).size).toBe(given.length)
        let at = from
        for (const [index, { buffer, length }] of given.entries()) {
          at += length
          if (index < given.length - 1) expect(at % blockBytes).toBe(0)
          expect(buffer.byteLength).toBe(length)
          expect(length).toBeLessThan(KiB * KiB)
        }
      }),
      { numRuns: 50 },
    )
  })

  it('are large where the stream is quick', async () => {
    const stream = Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(64 * KiB)))
    const given = await Array.fromAsync(gatherPieces(stream, 0))
    expect(given.length).toBeLessThan(32)
  })

  it('come as soon as a block is there', async () => {
    const stream = new Readable({ read() {} })
    const pieces = gatherPieces(stream, blockBytes - 3)
    for (const text of ['one', 'x'.repeat(blockBytes)]) {
      stream.push(text)
      expect(String((await pieces.next()).value)).toBe(text)
    }
    stream.push('end')
    stream.push(null)
    expect(String((await pieces.next()).value)).toBe('end')
    expect(await pieces.next()).toMatchObject({ done: true })
  })

  it('end with the failure of the stream, after all that came before', async () => {
    const stream = new Readable({ read() {} })
    const pieces = gatherPieces(stream, 0)
    const first = pieces.next()
    const failure = new Error('The connection broke.')
    stream.once('data', () => stream.destroy(failure))
    stream.push('all')
    expect(String((await first).value)).toBe('all')
    await expect(pieces.next()).rejects.toBe(failure)
  })

  it('fail where the stream is closed without an end', async () => {
    const stream = new Readable({ read() {} })
    const next = gatherPieces(stream, 0).next()
    stream.destroy()
    await expect(next).rejects.toThrow('closed')
  })

  it('are not read ahead without bound while nobody asks', async () => {
    let given = 0
    const stream = new Readable({
      highWaterMark: 64 * KiB,
      read() {
        given += 1
        this.push(given < 500 ? Buffer.alloc(64 * KiB) : null)
      },
    })
    const pieces = gatherPieces(stream, 0)
    await pieces.next()
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate)
    expect(given).toBeLessThan(40)
    await pieces.return(undefined)
    expect(stream.destroyed).toBe(true)
  })
})

/** Each with a buffer of its own. */
function chunksOf(sizes: readonly number[]): Uint8Array[] {
  return sizes.map((size, at) => new Uint8Array(size).fill(at + 1))
}
