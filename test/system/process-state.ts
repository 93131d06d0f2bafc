/** What a running Coffer holds: descriptors, memory, and bytes and rows in its folder. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { FilePage } from '@coffer/contract'
import { z } from 'zod'
import { listDisk, listRows } from '../../packages/cli/test/data-folder.ts'
import type { Coffer } from '../../packages/cli/test/start-coffer.ts'

export async function countDescriptors({ pid }: Coffer): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length
}

/** What is resident now, and the most that ever was. */
export async function memoryOf({ pid }: Coffer): Promise<{ nowMiB: number; peakMiB: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const read = (name: string) =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024)
  return { nowMiB: read('VmRSS'), peakMiB: read('VmHWM') }
}

export interface Holdings {
  readonly descriptors: number
  /** Blobs that are being written. */
  readonly drafts: number
  /** Blobs that no file holds. */
  readonly looseBlobs: number
  /** Files whose blob is not there. */
  readonly missingBlobs: number
  readonly files: number
  /** By the list that clients see. */
  readonly listed: number
  readonly fileBytes: number
  readonly usedBytes: number
}

const Sums = z.object({ files: z.int(), fileBytes: z.int(), usedBytes: z.int() })

/** Counts everything from outside; the server must be at rest for the counts to agree. */
export async function holdingsOf(coffer: Coffer): Promise<Holdings> {
  const { held } = listRows(coffer.folder)
  const disk = await listDisk(coffer.folder)
  const [holds, there] = [new Set(held), new Set(disk.blobs)]
  using database = new DatabaseSync(join(coffer.folder, 'coffer.db'), {
    readOnly: true,
    timeout: 5000,
  })
  const sums = Sums.parse(
    database
      .prepare(
        `select count(*) as files, coalesce(sum(bytes), 0) as fileBytes,
          (select sum(used_bytes) from organizations) as usedBytes from files`,
      )
      .get(),
  )
  return {
    ...sums,
    descriptors: await countDescriptors(coffer),
    drafts: disk.drafts.length,
    looseBlobs: disk.blobs.filter((blob) => !holds.has(blob)).length,
    missingBlobs: held.filter((blob) => !there.has(blob)).length,
    listed: (await listAll(coffer)).length,
  }
}

/** The ids of all files, a page at a time. */
export async function listAll(coffer: Coffer): Promise<string[]> {
  const ids: string[] = []
  for (let after = ''; ; ) {
    const response = await coffer.fetch(`/v1/files?after=${after}`)
    const page = FilePage.parse(await response.json())
    ids.push(...page.data.map(({ id }) => id))
    if (!page.has_more || page.last_id === null) return ids
    after = page.last_id
  }
}

/** What `holdingsOf` gives for a server that holds exactly its files. */
export function atRest(files: number, bytes: number, descriptors: number): Holdings {
  return {
    descriptors,
    drafts: 0,
    looseBlobs: 0,
    missingBlobs: 0,
    files,
    listed: files,
    fileBytes: bytes,
    usedBytes: bytes,
  }
}

/**
 * Looks until the server holds nothing but its files and as many descriptors as at `baseline`, or
 * the seconds are over, and gives what it holds then.
 */
export async function settled(
  coffer: Coffer,
  baseline: Pick<Holdings, 'descriptors'>,
  seconds = 10,
): Promise<Holdings> {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const found = await holdingsOf(coffer)
    const { descriptors, drafts, looseBlobs } = found
    const isSettled = drafts === 0 && looseBlobs === 0 && descriptors <= baseline.descriptors
    if (isSettled || Date.now() > deadline) return found
    // Nothing tells another process when a removal has ended.
    await delay(100)
  }
}
