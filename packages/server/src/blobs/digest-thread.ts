/** The thread behind `digests.ts`. */

import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { type Answer, type Call, end, toThreadError } from '../threads/messages.ts'
import { createBlockSums } from './block-sums.ts'
import type { ContentDigests } from './digests.ts'

if (parentPort === null) throw new Error('Digests are taken by a worker thread.')
const port = parentPort

const underWay = new Map<number, UnderWay>()

const kinds = { content: createContentDigest, md5: createMd5 }

const calls: Record<
  string,
  (number: number, kind: keyof typeof kinds, piece: Uint8Array) => unknown
> = {
  add(number, kind, piece) {
    const digest = underWay.get(number) ?? kinds[kind]()
    underWay.set(number, digest)
    digest.add(piece)
  },
  result(number, kind) {
    const digest = underWay.get(number) ?? kinds[kind]()
    underWay.delete(number)
    return digest.result()
  },
}

interface UnderWay {
  add(piece: Uint8Array): void
  result(): unknown
}

function createMd5(): UnderWay {
  const hash = createHash('md5')
  return { add: (piece) => void hash.update(piece), result: () => hash.digest('hex') }
}

function createContentDigest(): UnderWay {
  const hash = createHash('sha256')
  const sums = createBlockSums()
  return {
    add(piece: Uint8Array) {
      hash.update(piece)
      sums.add(piece)
    },
    result: (): ContentDigests => ({ sha256: hash.digest('hex'), checksums: sums.result() }),
  }
}

port.on('message', (message: Call[] | typeof end) => {
  if (message === end) port.close()
  else port.postMessage(message.map(answer))
})

function answer({ id, name, args }: Call): Answer {
  try {
    return { id, value: calls[name]?.(...(args as Parameters<(typeof calls)[string]>)) }
  } catch (error) {
    return { id, error: toThreadError(error) }
  }
}

port.postMessage('ready')
