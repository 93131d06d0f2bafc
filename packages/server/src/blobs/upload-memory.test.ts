import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pieceBytes, smallBytes } from './blob-driver.ts'
import { createUploadMemory, type Part, partBytes } from './upload-memory.ts'

const piece = Buffer.alloc(pieceBytes, 'piece')
const pieces = partBytes / pieceBytes

describe('the memory of uploads', () => {
  it('is never more than its bound, and all uploads come to their end, whatever they bring', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 3 * pieces }), { minLength: 1, maxLength: 24 })
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.integer({ min: 2, max: 4 }),
        sizes,
        async (s, parts, all) => {
          const bound = parts * partBytes
          const memory = createUploadMemory(bound)
          let ended = 0
          async function upload(count: number): Promise<void> {
            let part = memory.part()
            let full: Part | undefined
            for (let sent = 0; sent < count; sent += 1) {
              await s.schedule(Promise.resolve())
              if (part.bytes === partBytes) {
                // One is sent while the next is filled, and ends meanwhile.
                const sent = part
                full?.end()
                full = sent
                s.schedule(Promise.resolve()).then(sent.end)
                part = memory.part()
              }
              await part.add(piece)
              expect(memory.heldBytes).toBeLessThanOrEqual(bound)
            }
            full?.end()
            part.end()
            ended += 1
          }
          const uploads = Promise.all(all.map(upload))
          // All that can go on has gone on once nothing more is scheduled.
          await s.waitFor(uploads)
          expect(ended).toBe(all.length)
          expect(memory.heldBytes).toBe(0)
        },
      ),
      { numRuns: 40 },
    )
  }, 60_000)

  it('lets two that hold half of it each come to a whole part, one after the other', async () => {
    const memory = createUploadMemory(2 * partBytes)
    const [one, other] = [memory.part(), memory.part()]
    for (let count = 0; count < pieces / 2; count += 1) {
      await one.add(piece)
      await other.add(piece)
    }
    const filled = Promise.all([one, other].map((part) => fill(part)))
    await settled()
    expect([one.bytes, other.bytes].sort()).toEqual([partBytes / 2, partBytes])
    const full = one.bytes === partBytes ? one : other
    full.end()
    await filled
    expect(Math.max(one.bytes, other.bytes)).toBe(partBytes)
  })

  it('is given in the order in which it was asked for', async () => {
    const memory = createUploadMemory(2 * partBytes)
    const first = memory.part()
    const second = memory.part()
    await fill(first)
    await fill(second)
    const order: number[] = []
    const waiting = [2, 3, 4, 5].map(async (number) => {
      await memory.part().add(piece)
      order.push(number)
    })
    await settled()
    expect(order).toEqual([])
    first.end()
    await Promise.all(waiting)
    expect(order).toEqual([2, 3, 4, 5])
  })

  it('is not given to who wants little before who wants more and came first', async () => {
    const memory = createUploadMemory(2 * partBytes)
    const [first, second, third, fourth] = Array.from({ length: 4 }, () => memory.part())
    if (!first || !second || !third || !fourth) throw new Error('There are four.')
    for (let count = 1; count < pieces; count += 1) await first.add(piece)
    await first.add(piece.subarray(0, pieceBytes / 2))
    await fill(second)
    const order: string[] = []
    const waiting = [
      third.add(piece).then(() => order.push('third')),
      fourth.add(piece.subarray(0, pieceBytes / 4)).then(() => order.push('fourth')),
    ]
    await settled()
    expect(order).toEqual([])
    first.end()
    await Promise.all(waiting)
    expect(order).toEqual(['third', 'fourth'])
  })

  it('is as much as what came', async () => {
    const memory = createUploadMemory(4 * partBytes)
    const part = memory.part()
    await part.add(piece)
    expect(memory.heldBytes).toBe(pieceBytes)
    await part.add(piece.subarray(0, 10))
    expect(memory.heldBytes).toBe(pieceBytes + 10)
    part.end()
    expect(memory.heldBytes).toBe(0)
  })

  describe('of which others wait for more', () => {
    const patience = 100
    const never = new Promise<string>(() => {})

    it('is asked for from a part for whose content it waits too long, and from no other', async () => {
      const memory = createUploadMemory(2 * partBytes, patience)
      const [slow, quick, full] = [memory.part(), memory.part(), memory.part()]
      await slow.add(piece)
      await quick.add(piece)
      // It waits for the store, and not for its content.
      await fill(full)
      const rest = memory.part().add(Buffer.alloc(partBytes))
      const start = performance.now()
      const asked = slow.next(never)
      for (let count = 0; count < 8; count += 1) {
        expect(await quick.next(sleep(patience / 3, 'content'))).toBe('content')
      }
      expect(await asked).toBeUndefined()
      expect(performance.now() - start).toBeGreaterThanOrEqual(patience)
      full.end()
      await rest
    })

    it('is not asked for while nobody waits, however slow they are', async () => {
      const part = createUploadMemory(2 * partBytes, patience).part()
      await part.add(piece)
      expect(await part.next(sleep(500, 'content'))).toBe('content')
    })

    it('is not asked for from who holds none of it', async () => {
      const memory = createUploadMemory(2 * partBytes, patience)
      await fill(memory.part())
      await fill(memory.part())
      const rest = memory.part().add(piece)
      expect(await memory.part().next(sleep(500, 'content'))).toBe('content')
      await Promise.race([rest, sleep(0)])
    })
  })

  it('makes small content wait for nobody', async () => {
    const memory = createUploadMemory(2 * partBytes)
    await fill(memory.part())
    await fill(memory.part())
    const small = memory.part()
    await small.add(piece.subarray(0, smallBytes))
    expect(piece.subarray(0, smallBytes).equals(small.content())).toBe(true)
  })

  it('keeps what it was given, though that is overwritten', async () => {
    const part = createUploadMemory(2 * partBytes).part()
    const shared = new Uint8Array(new SharedArrayBuffer(pieceBytes))
    for (const value of [1, 2, 3]) {
      shared.fill(value)
      await part.add(shared)
    }
    const content = Buffer.from(part.content())
    const expected = [1, 2, 3].map((value) => Buffer.alloc(pieceBytes, value))
    expect(content.equals(Buffer.concat(expected))).toBe(true)
  })
})

async function fill(part: Part): Promise<void> {
  while (part.bytes < partBytes) await part.add(piece)
}

/** Resolves once all that can go on without us has done so. */
function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
