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
    expect(intake.failedOutside()).toBe(false)
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
    // The buffer is given back once the thread has done with it too.
    held[2]?.resolve()
  })

  it('waits for who reads along, too', async () => {
    const held: PromiseWithResolvers<void>[] = []
    const reader = {
      add() {
        const added = Promise.withResolvers<void>()
        held.push(added)
        return added.promise
      },
    }
    const given: Uint8Array[] = []
    const buffers = createPieceBuffers()
    const { giveBack } = buffers
    const watched = {
      ...buffers,
      giveBack(one: Uint8Array) {
        given.push(one)
        giveBack(one)
      },
    }
    const intake = createIntake(content(4 * pieceBytes), {
      ...{ maxBytes: noLimit, reader, digests: failingAt(Number.NaN), buffers: watched },
    })
    const pieces = intake.pieces()
    await pieces.next()
    await pieces.next()
    let isThird = false
    const third = pieces.next().then(() => {
      isThird = true
    })
    await new Promise(setImmediate)
    expect(isThird).toBe(false)
    held[0]?.resolve()
    await third
    await pieces.return(undefined)
    const closed = intake[Symbol.asyncDispose]()
    await new Promise(setImmediate)
    expect(given).toEqual([])
    for (const one of held) one.resolve()
    await closed
    expect(given).toHaveLength(2)
  })

  it.each([0, 1, 2])('ends with the error of who reads along, at its piece %i', async (nth) => {
    let added = 0
    const reader = {
      async add() {
        added += 1
        if (added > nth) throw new Error('cannot read')
      },
    }
    await using intake = createIntake(content(2.5 * pieceBytes), {
      ...{ maxBytes: noLimit, reader, digests: failingAt(Number.NaN) },
      buffers: createPieceBuffers(),
    })
    await expect(Array.fromAsync(intake.pieces())).rejects.toThrow('cannot read')
    expect(intake.failedOutside()).toBe(true)
    expect(intake.result).toThrow('not read to its end')
  })

  it('gives all of it to who reads along, be it small or large', async () => {
    for (const size of [0, 1, 16 * 1024, 16 * 1024 + 1, 2.5 * pieceBytes]) {
      let read = 0
      const reader = {
        async add(piece: Uint8Array) {
          read += piece.length
        },
      }
      await using intake = createIntake(content(size), {
        ...{ maxBytes: noLimit, reader, digests: failingAt(Number.NaN) },
        buffers: createPieceBuffers(),
      })
      await Array.fromAsync(intake.pieces())
      expect(read).toBe(size)
    }
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
