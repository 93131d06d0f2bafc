/** Orphans: bytes that the store of blobs has and no row knows, from the first sight to their end. */

import { lockStore } from './dialect.ts'
import type { Database } from './tables.ts'

/** Which of these blobs no file and no part of an Upload holds, and no list names. */
export async function findUnknownBlobs(
  db: Database,
  { blob_ids }: { blob_ids: readonly string[] },
): Promise<string[]> {
  const known = await db
    .selectFrom('segments')
    .where('blob_id', 'in', blob_ids)
    .select('blob_id')
    .union(db.selectFrom('parts').where('blob_id', 'in', blob_ids).select('blob_id'))
    .union(db.selectFrom('loose_blobs').where('blob_id', 'in', blob_ids).select('blob_id'))
    .execute()
  const ids = new Set(known.map(({ blob_id }) => blob_id))
  return blob_ids.filter((id) => !ids.has(id))
}

export interface Sight {
  /** What the ids of all blobs that were looked at begin with. */
  readonly prefix: string
  /** The unknown ones among them. */
  readonly blob_ids: readonly string[]
  readonly now: number
  /** Seconds from the first sight until a further one counts. */
  readonly second_look_seconds: number
  /** Seconds that an orphan is kept after it was seen again. */
  readonly quarantine_seconds: number
}

/** How many orphans came a step further. */
export interface SightOutcome {
  readonly found: number
  readonly quarantined: number
  /** Listed as loose and taken, so that the sweep removes them. */
  readonly released: number
}

/** Brings each orphan a step further if its time has come, and forgets those that are none. */
export async function noteOrphans(
  db: Database,
  { prefix, blob_ids, now, second_look_seconds, quarantine_seconds }: Sight,
): Promise<SightOutcome> {
  await lockStore(db)
  const noted = await db
    .selectFrom('orphans')
    .where('blob_id', '>=', prefix)
    .where('blob_id', '<', `${prefix}~`)
    .selectAll()
    .execute()
  const unknown = new Set(blob_ids)
  const gone = noted.filter(({ blob_id }) => !unknown.has(blob_id))
  const again = noted.filter(
    ({ blob_id, quarantined_at, seen_at }) =>
      unknown.has(blob_id) && quarantined_at === null && seen_at + second_look_seconds <= now,
  )
  const released = noted.filter(
    ({ blob_id, quarantined_at }) =>
      unknown.has(blob_id) && quarantined_at !== null && quarantined_at + quarantine_seconds <= now,
  )
  const before = new Set(noted.map(({ blob_id }) => blob_id))
  const found = blob_ids.filter((id) => !before.has(id))

  for (const { blob_id } of [...gone, ...released]) {
    await db.deleteFrom('orphans').where('blob_id', '=', blob_id).execute()
  }
  for (const { blob_id } of again) {
    await db
      .updateTable('orphans')
      .set({ quarantined_at: now })
      .where('blob_id', '=', blob_id)
      .execute()
  }
  for (const { blob_id } of released) {
    await db
      .insertInto('loose_blobs')
      .values({ blob_id, sweep_after: 0, server_id: null })
      .execute()
  }
  for (const blob_id of found) {
    await db.insertInto('orphans').values({ blob_id, seen_at: now, quarantined_at: null }).execute()
  }
  return { found: found.length, quarantined: again.length, released: released.length }
}
