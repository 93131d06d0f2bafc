/** Makes the entries of folders durable, one flush for all who ask at the same time. */

import { mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

export interface FolderSync {
  /** Resolves once a flush that began after this call has ended; rejects if that flush failed. */
  sync(folder: string): Promise<void>
}

export function createFolderSync(
  flush: (folder: string) => Promise<void> = flushFolder,
): FolderSync {
  const running = new Map<string, Promise<void>>()
  const waiting = new Map<string, Promise<void>>()

  function start(folder: string): Promise<void> {
    const flushing = flush(folder).finally(() => running.delete(folder))
    running.set(folder, flushing)
    return flushing
  }

  return {
    async sync(folder) {
      const next = waiting.get(folder)
      // A flush that runs already may have begun before the caller's entry was made.
      if (next !== undefined) return next
      const current = running.get(folder)
      if (current === undefined) return start(folder)
      const following = Promise.allSettled([current]).then(() => {
        waiting.delete(folder)
        return start(folder)
      })
      waiting.set(folder, following)
      return following
    },
  }
}

/** Makes a folder and those above it that are missing, each a durable entry of the one above. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  const end = dirname(first)
  for (let folder = resolve(path); folder !== end; ) {
    folder = dirname(folder)
    await flushFolder(folder)
  }
}

export async function flushFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r')
  await handle.sync()
}
