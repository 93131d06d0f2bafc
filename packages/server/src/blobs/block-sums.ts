/**
 * A checksum for each block of a blob, taken as it is written and held against what is read, so
 * that also a range never gives a byte that the disk has changed.
 */

import { createCipheriv } from 'node:crypto'
import type { ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'

/** What must be read and checked for a single byte of it. */
export const blockBytes = 256 * 1024

/** Bytes of one sum. */
const sumBytes = 8

export interface BlockSums {
  add(piece: Uint8Array): void
  /** The sums of all blocks, one after the other; the last block may be short. */
  result(): Uint8Array
}

export function createBlockSums(): BlockSums {
  const sums: Uint8Array[] = []
  const blocks = createBlocks((sum) => void sums.push(sum))
  return {
    add: blocks.add,
    result() {
      blocks.end()
      return new Uint8Array(Buffer.concat(sums))
    },
  }
}

/** The blocks in which a range lies, within a blob of `bytes`. */
export function wholeBlocks({ start, end }: ByteRange, bytes: number): ByteRange {
  return {
    start: start - (start % blockBytes),
    end: Math.min(Math.ceil(end / blockBytes) * blockBytes, bytes),
  }
}

/**
 * Yields the pieces unchanged, each once its blocks were found whole.
 *
 * @param first the number of the block with which the pieces begin; they end with a whole block or
 *   with the blob.
 * @throws BlobError `damaged`, before the first piece that holds a byte of a damaged block.
 */
export async function* checkBlocks(
  pieces: AsyncIterable<Uint8Array>,
  { id, sums, first }: { id: string; sums: Uint8Array; first: number },
): AsyncGenerator<Uint8Array> {
  let block = first
  const blocks = createBlocks((sum) => {
    if (!sum.equals(sums.subarray(block * sumBytes, (block + 1) * sumBytes))) {
      throw new BlobError('damaged', `Blob ${id} is damaged in the block ${block}.`)
    }
    block += 1
  })
  let unchecked: Uint8Array[] = []
  for await (const piece of pieces) {
    blocks.add(piece)
    unchecked.push(piece)
    if (!blocks.isWhole()) continue
    yield* unchecked
    unchecked = []
  }
  blocks.end()
  yield* unchecked
}

/** Calls back with the sum of each block once that is whole, and of the last at the end. */
function createBlocks(done: (sum: Buffer) => void) {
  let sum: ReturnType<typeof createSum> | undefined
  let filled = 0

  function finish(): void {
    if (sum === undefined) return
    done(sum.result())
    sum = undefined
    filled = 0
  }

  return {
    add(piece: Uint8Array): void {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + blockBytes - filled)
        sum ??= createSum()
        sum.add(part)
        filled += part.length
        at += part.length
        if (filled === blockBytes) finish()
      }
    },
    isWhole: () => filled === 0,
    end: finish,
  }
}

/** Of a checksum, which keeps no secret. */
const key = Buffer.alloc(16)
const nonce = Buffer.alloc(12)

/**
 * GMAC (NIST SP 800-38D): as sure as any checksum of its length, and with the processor's own
 * instructions for it three times as fast as CRC-32 (measured: 13 GB/s).
 */
function createSum() {
  const mac = createCipheriv('aes-128-gcm', key, nonce, { authTagLength: sumBytes })
  return {
    add: (part: Uint8Array) => void mac.setAAD(part),
    result(): Buffer {
      mac.final()
      return mac.getAuthTag()
    },
  }
}
