/**
 * A checksum for each block of a blob, taken as it is written and held against what is read, so
 * that also a range never gives a byte that the disk has changed.
 */

import { crc32 } from 'node:zlib'
import type { ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'

/** What must be read and checked for a single byte of it. */
export const blockBytes = 256 * 1024

/** Bytes of one CRC-32, the greatest first. */
const sumBytes = 4

export interface BlockSums {
  add(piece: Uint8Array): void
  /** The sums of all blocks, one after the other; the last block may be short. */
  result(): Uint8Array
}

export function createBlockSums(): BlockSums {
  const sums: number[] = []
  const blocks = createBlocks((sum) => void sums.push(sum))
  return {
    add: blocks.add,
    result() {
      blocks.end()
      const table = Buffer.alloc(sums.length * sumBytes)
      sums.forEach((sum, index) => void table.writeUInt32BE(sum, index * sumBytes))
      return new Uint8Array(table)
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
  const table = Buffer.from(sums.buffer, sums.byteOffset, sums.byteLength)
  let block = first
  const blocks = createBlocks((sum) => {
    const at = block * sumBytes
    if (at >= table.length || table.readUInt32BE(at) !== sum) {
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
function createBlocks(done: (sum: number) => void) {
  let sum = 0
  let filled = 0

  function finish(): void {
    if (filled === 0) return
    done(sum)
    sum = 0
    filled = 0
  }

  return {
    add(piece: Uint8Array): void {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + blockBytes - filled)
        sum = crc32(part, sum)
        filled += part.length
        at += part.length
        if (filled === blockBytes) finish()
      }
    },
    isWhole: () => filled === 0,
    end: finish,
  }
}
