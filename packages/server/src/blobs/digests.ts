/**
 * Digests of content, taken by a thread of their own: on the main thread they would take most of an
 * upload's time, and every other request would wait for them.
 */

import { hash } from 'node:crypto'
import { siblingModule, startThread, type Thread } from '../threads/thread.ts'
import { createBlockSums } from './block-sums.ts'

export interface ContentDigests {
  /** Of the whole content, in lower-case hexadecimal. */
  readonly sha256: string
  /** Of its blocks, to be given back when it is read. */
  readonly checksums: Uint8Array
}

export interface Digest<Result = ContentDigests> {
  /**
   * Takes in what comes next, which may be overwritten once this resolves. What is not in shared
   * memory is copied.
   */
  add(piece: Uint8Array): Promise<void>
  /** To be called once, also where nobody needs the digests any more. */
  result(): Promise<Result>
}

export interface Digests {
  /** Of content that comes in pieces. @throws if the thread does not start. */
  begin(): Promise<Digest>
  /** Of content that comes in pieces, in lower-case hexadecimal. @throws as `begin`. */
  beginMd5(): Promise<Digest<string>>
  /** Ends the thread, which must have nothing left to do. */
  close(): Promise<void>
}

/** The thread starts with the first digest, and again should it have stopped. */
export function createDigests(): Digests {
  let thread: Promise<Thread> | undefined
  let lastNumber = 0

  function stopped(cause?: Error): Error {
    thread = undefined
    return new Error('The thread for digests stopped.', { cause })
  }

  async function start(): Promise<Thread> {
    try {
      const module = siblingModule('digest-thread', import.meta.url)
      return await startThread({ name: 'coffer-digests', module, stopped })
    } catch (error) {
      thread = undefined
      throw error
    }
  }

  async function begin<Result>(kind: 'content' | 'md5'): Promise<Digest<Result>> {
    thread ??= start()
    const { call } = await thread
    lastNumber += 1
    const number = lastNumber
    return {
      async add(piece) {
        await call('add', [number, kind, piece])
      },
      result: () => call('result', [number, kind]) as Promise<Result>,
    }
  }

  return {
    begin: () => begin('content'),
    beginMd5: () => begin('md5'),
    async close() {
      await (await thread)?.end()
    },
  }
}

/** Of content that is there as a whole, and small enough that a thread would not pay. */
export function digestsOf(content: Uint8Array): ContentDigests {
  const sums = createBlockSums()
  sums.add(content)
  return { sha256: hash('sha256', content), checksums: sums.result() }
}
