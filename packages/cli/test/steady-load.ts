/** Clients that upload files of many sizes, and at times delete some, until they are stopped. */

import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { sha256 } from './load.ts'
import type { Coffer } from './start-coffer.ts'

const KiB = 1024
const Id = z.object({ id: z.string() })

export interface SteadyLoad {
  /** SHA-256 by id, of the files that were acknowledged and that nobody asked to delete. */
  readonly stored: ReadonlyMap<string, string>
  readonly deleted: ReadonlySet<string>
  /** Resolves once so many files were acknowledged. */
  reached(files: number): Promise<void>
  stop(): Promise<void>
}

export function startSteadyLoad(
  coffer: Coffer,
  { writers = 4, largest = 100 * KiB, most = 300 } = {},
): SteadyLoad {
  const stored = new Map<string, string>()
  const deleted = new Set<string>()
  let acknowledged = 0
  let stopped = false

  async function upload(): Promise<void> {
    // Half of them go to the database of small blobs.
    const content = randomBytes(randomInt(randomInt(2) === 0 ? 8 * KiB : largest))
    const answer = await coffer.upload(content)
    const { id } = Id.parse(await answer.json())
    stored.set(id, sha256(content))
    acknowledged += 1
  }

  async function remove(): Promise<void> {
    const ids = [...stored.keys()]
    const id = ids[randomInt(ids.length + 1)]
    if (id === undefined) return
    // Until the answer is here nobody can say which it is.
    stored.delete(id)
    const answer = await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    await answer.body?.cancel()
    if (answer.status === 200) deleted.add(id)
  }

  async function write(): Promise<void> {
    while (!stopped) {
      await upload()
      // So that a long load does not only grow.
      if (stored.size > most || randomInt(3) === 0) await remove()
    }
  }

  const ended = Promise.all(Array.from({ length: writers }, write))
  // Whoever stops it hears of it.
  ended.catch(() => {})
  return {
    stored,
    deleted,
    async reached(files) {
      // A failure of a client ends the wait, too.
      while (acknowledged < files) await Promise.race([ended, setTimeout(20)])
    },
    async stop() {
      stopped = true
      await ended
    },
  }
}
