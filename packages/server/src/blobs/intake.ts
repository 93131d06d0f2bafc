/** Content on its way to a driver: counted, bounded, digested and gathered into large pieces. */

import type { PieceWork } from '../threads/piece-works.ts'
import { pieceBytes, smallBytes } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { type ContentDigests, type Digests, digestsOf } from './digests.ts'
import type { PieceBuffers } from './piece-buffers.ts'

export interface TakenIn extends ContentDigests {
  readonly bytes: number
}

export interface Intake extends AsyncDisposable {
  /** To be read once. @throws BlobError `too-large`; what the source or the digests throw. */
  pieces(): AsyncGenerator<Uint8Array>
  /** Whether an error of `pieces` was the source's or the reader's. */
  failedOutside(): boolean
  /** Of content whose pieces were read to the end. */
  result(): TakenIn
}

/** Reads along while content is taken in. */
export interface PieceReader {
  /** Is given each piece, in order, which is overwritten once this resolves. Its errors end the intake. */
  add(piece: Uint8Array): Promise<void>
}

export interface IntakeNeeds {
  readonly maxBytes: number
  readonly reader?: PieceReader | undefined
  readonly digests: Pick<Digests, 'begin'>
  readonly buffers: PieceBuffers
}

export function createIntake(
  source: AsyncIterable<Uint8Array>,
  { maxBytes, reader, digests, buffers }: IntakeNeeds,
): Intake {
  let bytes = 0
  let failedOutside = false
  let taken: ContentDigests | undefined
  let gathering: Gathering | undefined

  async function* parts() {
    try {
      yield* source
    } catch (error) {
      failedOutside = true
      throw error
    }
  }

  async function readAlong(piece: Uint8Array): Promise<void> {
    try {
      await reader?.add(piece)
    } catch (error) {
      failedOutside = true
      throw error
    }
  }

  return {
    async *pieces() {
      let held: Uint8Array[] = []
      for await (const part of parts()) {
        bytes += part.length
        if (bytes > maxBytes) {
          throw new BlobError('too-large', `The content exceeds ${maxBytes} bytes.`)
        }
        if (gathering === undefined && bytes <= smallBytes) {
          // The part is the source's again once the next is asked for.
          held.push(Uint8Array.from(part))
          continue
        }
        gathering ??= createGathering({ digest: await digests.begin(), readAlong, buffers })
        for (const first of held) yield* gathering.add(first)
        held = []
        yield* gathering.add(part)
      }
      if (gathering === undefined) {
        const whole = joined(held)
        taken = digestsOf(whole)
        await readAlong(whole)
        yield whole
      } else {
        yield* gathering.rest()
        // Before the driver learns that this was all: what has no digests must not be kept.
        taken = await gathering.result()
      }
    },

    failedOutside: () => failedOutside,

    result() {
      if (taken === undefined) throw new Error('The content was not read to its end.')
      return { bytes, ...taken }
    },

    async [Symbol.asyncDispose]() {
      await gathering?.close()
    },
  }
}

type Gathering = ReturnType<typeof createGathering>

interface GatheringNeeds {
  readonly digest: PieceWork<ContentDigests>
  readonly readAlong: (piece: Uint8Array) => Promise<void>
  readonly buffers: PieceBuffers
}

/** Fills one buffer while the thread and the reader read the other and the driver writes it. */
function createGathering({ digest, readAlong, buffers }: GatheringNeeds) {
  let filling = takeBuffer()
  /** Most content that is not small has just one piece. */
  let other: ReturnType<typeof takeBuffer> | undefined
  let filled = 0
  /** Whether what is filled is with those who read it and the driver. */
  let isGiven = false
  let result: Promise<ContentDigests> | undefined

  function takeBuffer() {
    return { buffer: buffers.take(), isRead: Promise.resolve() }
  }

  function finish(): Promise<ContentDigests> {
    result ??= digest.result()
    return result
  }

  function give(): Uint8Array {
    const piece = filling.buffer.subarray(0, filled)
    filling.isRead = allDone([digest.add(piece), readAlong(piece)])
    // It is asked for when the buffer is needed again, or with the result.
    filling.isRead.catch(() => {})
    isGiven = true
    return piece
  }

  async function turn(): Promise<void> {
    const next = other ?? takeBuffer()
    other = filling
    filling = next
    filled = 0
    isGiven = false
    await filling.isRead
  }

  return {
    async *add(part: Uint8Array) {
      for (let from = 0; from < part.length; ) {
        if (isGiven) await turn()
        const taken = part.subarray(from, from + pieceBytes - filled)
        // Not `set`, which copies to shared memory byte by byte (measured: at half the speed).
        Buffer.from(taken.buffer, taken.byteOffset, taken.length).copy(filling.buffer, filled)
        filled += taken.length
        from += taken.length
        if (filled === pieceBytes) yield give()
      }
    },
    async *rest() {
      if (!isGiven) yield give()
    },
    async result() {
      await Promise.all([filling.isRead, other?.isRead])
      return finish()
    },
    /** To be called once neither the driver nor the source has anything to do with it. */
    async close() {
      await Promise.allSettled([filling.isRead, other?.isRead, finish()])
      for (const one of [filling, other]) if (one !== undefined) buffers.giveBack(one.buffer)
    },
  }
}

/** Rejects as the first that does, once none of them goes on. */
async function allDone(works: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(works)
  await Promise.all(works)
}

/** In a buffer of their own: a message to a thread copies the whole of a larger one. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first, ...rest] = parts
  return first !== undefined && rest.length === 0 ? first : new Uint8Array(Buffer.concat(parts))
}
