import { describe, expect, it } from 'vitest'
import { pieceBytes } from './blob-driver.ts'
import { createIntake, type IntakeNeeds } from './intake.ts'
import { createPieceBuffers } from './piece-buffers.ts'

const noLimit = Number.MAX_SAFE_INTEGER
const digestsOfNothing = { sha256: 'of nothing', checksums: new Uint8Array() }

describe('content on its way to a driver', () => {
  it.each([0, 1, 2])('is not taken if the thread fails at its piece %i', async (nth) => {
    const intake = createIntake(content(2.5 * pieceBytes), {
      maxBytes: noLimit,
      digests: failingAt(nth),
      buffers: createPieceBuffers(),
    })
    await expect(Array.fromAsync(intake.pieces())).rejects.toThrow('out of memory')
    expect(intake.sourceFailed()).toBe(false)
    expect(intake.result).toThrow('not read to its end')
    await intake[Symbol.asyncDispose]()
  })

  it('waits for the thread before a buffer is filled again', async () => {
    const held: PromiseWithResolvers<void>[] = []
    const digests: IntakeNeeds['digests'] = {
      async begin() {
        return {
          add() {
            const added = Promise.withResolvers<void>()
            held.push(added)
            return added.promise
          },
          result: async () => digestsOfNothing,
        }
      },
    }
    const buffers = createPieceBuffers()
    await using intake = createIntake(content(4 * pieceBytes), {
      maxBytes: noLimit,
      digests,
      buffers,
    })
    const pieces = intake.pieces()
    const first = await pieces.next()
    await pieces.next()
    let isThird = false
    const third = pieces.next().then((next) => {
      isThird = true
      return next
    })
    await new Promise(setImmediate)
    expect(isThird).toBe(false)
    held[0]?.resolve()
    expect((await third).value?.buffer).toBe(first.value?.buffer)
    held[1]?.resolve()
    await pieces.return(undefined)
  })

  it.each([
    [17 * 1024, 1],
    [pieceBytes, 1],
    [pieceBytes + 1, 2],
    [5 * pieceBytes, 2],
  ])('of %i bytes takes as many buffers as it needs, and gives them back', async (size, count) => {
    const taken = new Set<Uint8Array>()
    const { take, giveBack } = createPieceBuffers()
    const buffers = {
      take() {
        const buffer = take()
        taken.add(buffer)
        return buffer
      },
      giveBack(buffer: Uint8Array) {
        expect(taken.delete(buffer)).toBe(true)
        giveBack(buffer)
      },
    }
    const intake = createIntake(content(size), {
      maxBytes: noLimit,
      digests: failingAt(Number.NaN),
      buffers,
    })
    let bytes = 0
    for await (const piece of intake.pieces()) bytes += piece.length
    expect(bytes).toBe(size)
    expect(taken.size).toBe(count)
    await intake[Symbol.asyncDispose]()
    expect(taken.size).toBe(0)
  })
})

async function* content(bytes: number): AsyncGenerator<Uint8Array> {
  for (let left = bytes; left > 0; left -= 64 * 1024) yield Buffer.alloc(Math.min(left, 64 * 1024))
}

/** Answers for the result as if nothing had failed, as the thread does. */
function failingAt(nth: number): IntakeNeeds['digests'] {
  return {
    async begin() {
      let calls = 0
      return {
        async add() {
          calls += 1
          if (calls === nth + 1) throw new Error('The thread is out of memory.')
        },
        result: async () => digestsOfNothing,
      }
    },
  }
}
