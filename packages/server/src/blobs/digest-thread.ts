/** The thread behind `digests.ts`. */

import { createHash } from 'node:crypto'
import { type PieceTaker, servePieces } from '../threads/serve-pieces.ts'
import { createBlockSums } from './block-sums.ts'
import type { ContentDigests } from './digests.ts'

servePieces({ content: createContentDigest, md5: createMd5 })

function createMd5(): PieceTaker {
  const hash = createHash('md5')
  return { add: (piece) => void hash.update(piece), result: () => hash.digest('hex') }
}

function createContentDigest(): PieceTaker {
  const hash = createHash('sha256')
  const sums = createBlockSums()
  return {
    add(piece) {
      hash.update(piece)
      sums.add(piece)
    },
    result: (): ContentDigests => ({ sha256: hash.digest('hex'), checksums: sums.result() }),
  }
}
