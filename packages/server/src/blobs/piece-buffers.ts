/** Shared memory in which uploads are gathered, used again by others: new memory costs more. */

import { pieceBytes } from './blob-driver.ts'

/** So many are kept for the next upload. */
const keptBuffers = 32

export interface PieceBuffers {
  /** Its content is left from whoever had it before. */
  take(): Uint8Array
  /** Of a buffer that nobody reads or writes any more. */
  giveBack(buffer: Uint8Array): void
}

export function createPieceBuffers(): PieceBuffers {
  const free: Uint8Array[] = []
  return {
    take: () => free.pop() ?? new Uint8Array(new SharedArrayBuffer(pieceBytes)),
    giveBack(buffer) {
      if (free.length < keptBuffers) free.push(buffer)
    },
  }
}
