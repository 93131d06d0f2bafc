/** What a process or a machine that went down has left behind, after the next start has cleaned up. */

import { setTimeout } from 'node:timers/promises'
import { listDisk, listRows } from './data-folder.ts'

const mostMilliseconds = 10_000

export interface DataFolders {
  /** The folder of `coffer.db`. */
  readonly rows: string
  /** The folder of the folder `blobs`. */
  readonly blobs: string
}

/**
 * Waits for the first sweep, which runs right after a start.
 *
 * @param listed are the ids of all files of a server that has nothing to do.
 * @returns sentences.
 */
export async function findDebris(
  folders: DataFolders,
  listed: readonly string[],
): Promise<string[]> {
  const deadline = performance.now() + mostMilliseconds
  while (listRows(folders.rows).loose.length > 0 && performance.now() < deadline) {
    await setTimeout(5)
  }
  const { held, loose, files } = listRows(folders.rows)
  const { blobs, drafts } = await listDisk(folders.blobs)
  const onDisk = new Set(blobs)
  const wanted = new Set(held)
  return [
    ...(files === listed.length ? [] : [`${files} files hold blobs, ${listed.length} are listed`]),
    ...loose.map((id) => `${id} is still listed as loose`),
    ...drafts.map((id) => `the draft ${id} is still there`),
    ...held.filter((id) => !onDisk.has(id)).map((id) => `${id} is held, and not on the disk`),
    ...blobs.filter((id) => !wanted.has(id)).map((id) => `${id} is on the disk, and not held`),
  ]
}
