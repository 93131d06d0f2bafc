/** The thread behind `digests.ts`. */

import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { type Answer, type Call, end, toThreadError } from '../threads/messages.ts'
import { createBlockSums } from './block-sums.ts'
import type { ContentDigests } from './digests.ts'

if (parentPort === null) throw new Error('Digests are taken by a worker thread.')
const port = parentPort

const underWay = new Map<number, ReturnType<typeof createDigest>>()

const calls: Record<string, (number: number, piece: Uint8Array) => unknown> = {
  add(number, piece) {
    const digest = underWay.get(number) ?? createDigest()
    underWay.set(number, digest)
    digest.add(piece)
  },
  result(number) {
    const digest = underWay.get(number) ?? createDigest()
    underWay.delete(number)
    return digest.result()
  },
}

function createDigest() {
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
    return { id, value: calls[name]?.(...(args as [number, Uint8Array])) }
  } catch (error) {
    return { id, error: toThreadError(error) }
  }
}

port.postMessage('ready')
