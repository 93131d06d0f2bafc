/**
 * Makes two stores the target of a migration, or finds that they are it already. The mark beside the bytes tells: it is
 * written before anything else, and the first server that runs on them writes its own over it.
 */

import type { BlobStore } from '../blobs/blob-store.ts'
import { prefixes } from '../blobs/disk-layout.ts'
import { findStore, type StoreMark } from '../metadata/store-mark.ts'
import type { Database } from '../metadata/tables.ts'
import { formatMark, readMark } from '../service/store-binding.ts'
import type { MigrationTarget } from './migration-ends.ts'

/**
 * @param source the mark of the store that is moved.
 * @returns the mark that the rows of the target get.
 * @throws Error with a sentence, where something else is there, or a server has run on it.
 */
export async function claimTarget(
  { rows, blobs }: Pick<MigrationTarget, 'rows' | 'blobs'>,
  source: StoreMark,
): Promise<StoreMark> {
  const mark = readMark(await blobs.readMark())
  const { store } = await findStore(rows.db)
  const id = store?.id ?? mark?.id
  if (id !== undefined && id !== source.id) {
    throw refused(`they hold the store ${id}, not ${source.id}`)
  }
  if (store === undefined && !(await isEmpty(rows.db))) throw refused('there are rows already')
  if (mark === undefined) {
    if (store !== undefined) {
      throw refused(
        `the rows are of the store ${store.id}, and its bytes are not there. Are they those of the same run?`,
      )
    }
    if (await hasBlobs(blobs))
      throw refused('there are bytes already, of no store that tells its name')
    // One that servers have always counted up; rows without it are never taken for new ones.
    const claimed = { id: source.id, generation: Math.max(source.generation, 1) }
    await blobs.writeMark(formatMark({ ...claimed, migration: true }))
    return claimed
  }
  if (mark.migration !== true || (store !== undefined && store.generation !== mark.generation)) {
    throw refused(
      `a server has run on the store ${mark.id} there, and what it took in would be overwritten`,
    )
  }
  return { id: mark.id, generation: mark.generation }
}

function refused(why: string): Error {
  return new Error(`--to: Nothing is copied: ${why}. Give stores that are empty.`)
}

async function isEmpty(db: Database): Promise<boolean> {
  const organization = await db.selectFrom('organizations').select('id').limit(1).execute()
  return organization.length === 0
}

async function hasBlobs(blobs: BlobStore): Promise<boolean> {
  const looks = prefixes.map(async (prefix) => {
    for await (const _ of blobs.list(prefix)) return true
    return false
  })
  return (await Promise.all(looks)).includes(true)
}
