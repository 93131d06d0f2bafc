/** Writers that keep a record of their own of what the server acknowledged. */

import { createHash, randomBytes, randomInt } from 'node:crypto'
import { z } from 'zod'
import type { Coffer } from './start-coffer.ts'

const MiB = 1024 * 1024

/** What clients know from answers that they have read to the end. */
export interface Acknowledged {
  /** SHA-256 by id. */
  readonly stored: Map<string, string>
  readonly deleted: Set<string>
}

export function nothingAcknowledged(): Acknowledged {
  return { stored: new Map(), deleted: new Set() }
}

export interface LoadOptions {
  readonly writers: number
  /** The next file's bytes. */
  content(): Uint8Array<ArrayBuffer>
  /** Of the files, which are deleted as soon as they are stored: 0 is none, 1 is all. */
  readonly deleted: number
}

export interface Load {
  /** Resolves once so many more uploads and deletions are acknowledged, or all writers have ended. */
  acknowledged(count: number): Promise<void>
  /** Resolves to the number of requests that were cut, once the server is gone. */
  readonly ended: Promise<number>
}

/** Uploads, and at times deletes, until the server is gone. */
export function startLoad(coffer: Coffer, known: Acknowledged, options: LoadOptions): Load {
  let answers = 0
  const waiting = new Set<{ answers: number; resolve: () => void }>()

  function count(): void {
    answers += 1
    for (const waiter of waiting) {
      if (waiter.answers > answers) continue
      waiting.delete(waiter)
      waiter.resolve()
    }
  }

  async function upload(): Promise<string> {
    const content = options.content()
    const answer = await coffer.upload(content)
    const { id } = Id.parse(await answer.json())
    known.stored.set(id, sha256(content))
    count()
    return id
  }

  async function remove(id: string): Promise<void> {
    const sum = known.stored.get(id) ?? ''
    // Until the answer is here nobody can say which it is.
    known.stored.delete(id)
    const answer = await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    await answer.json()
    if (answer.status === 200) known.deleted.add(id)
    else known.stored.set(id, sum)
    count()
  }

  async function work(): Promise<void> {
    try {
      for (;;) {
        const id = await upload()
        if (Math.random() < options.deleted) await remove(id)
      }
    } catch (error) {
      // What `fetch` says when the connection breaks; anything else is a fault.
      if (!(error instanceof TypeError)) throw error
    }
  }

  const ended = Promise.all(Array.from({ length: options.writers }, work)).then(
    (ends) => ends.length,
  )
  // A fault is heard of by whoever waits for the end, which may be later.
  ended.catch(() => {})
  return {
    async acknowledged(count) {
      const enough = Promise.withResolvers<void>()
      waiting.add({ answers: answers + count, resolve: enough.resolve })
      await Promise.race([enough.promise, ended])
    },
    ended,
  }
}

const Id = z.object({ id: z.string() })

// Making so many random bytes would take longer than to store them.
const randomness = randomBytes(96 * MiB)

/** Bytes that are hardly those of another call; at most 64 MiB. */
export function someBytes(length: number): Uint8Array<ArrayBuffer> {
  const start = randomInt(randomness.length - length)
  return randomness.subarray(start, start + length)
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
