/** The list of blobs that no file holds. */

import { prepared } from './prepared.ts'
import type { Database } from './tables.ts'

/** Lists blobs that are to be written; the sweep leaves them alone until `sweep_after`. */
export async function addLooseBlobs(
  db: Database,
  { blob_ids, sweep_after }: { blob_ids: readonly string[]; sweep_after: number },
): Promise<void> {
  const rows = blob_ids.map((blob_id) => ({ blob_id, sweep_after }))
  await db.insertInto('loose_blobs').values(rows).execute()
}

/** Takes a blob so that no file can hold it any more; `false` if it is held or gone. */
export async function takeLooseBlob(
  db: Database,
  { blob_id }: { blob_id: string },
): Promise<boolean> {
  const taken = await db
    .updateTable('loose_blobs')
    .set({ sweep_after: 0 })
    .where('blob_id', '=', blob_id)
    .executeTakeFirstOrThrow()
  return taken.numUpdatedRows === 1n
}

/**
 * Takes at most `limit` blobs that the sweep may have, in the order of ids behind `after_id`, but
 * for those of `except`, which are being written.
 */
export async function takeSweepableBlobs(
  db: Database,
  {
    now,
    after_id,
    limit,
    except = [],
  }: { now: number; after_id: string; limit: number; except?: readonly string[] },
): Promise<string[]> {
  const rows = await db
    .updateTable('loose_blobs')
    .set({ sweep_after: 0 })
    .where('blob_id', 'in', (eb) =>
      eb
        .selectFrom('loose_blobs')
        .where('sweep_after', '<=', now)
        .where('blob_id', '>', after_id)
        .$if(except.length > 0, (query) => query.where('blob_id', 'not in', except))
        .orderBy('blob_id')
        .limit(limit)
        .select('blob_id'),
    )
    .returning('blob_id')
    .execute()
  return rows.map((row) => row.blob_id).sort()
}

const dropTakenBlob = prepared((db, { blob_id }: { blob_id: string }) =>
  db.deleteFrom('loose_blobs').where('blob_id', '=', blob_id).where('sweep_after', '=', 0),
)

/** Forgets a taken blob, once its bytes are gone. */
export async function forgetLooseBlob(db: Database, blob: { blob_id: string }): Promise<void> {
  await dropTakenBlob(db, blob)
}

/**
 * Lets the sweep have at once every loose blob that it would have by `before`. Only for a process
 * that has the store for itself and begins: whoever was writing these is gone.
 */
export async function abandonLooseBlobs(
  db: Database,
  { before }: { before: number },
): Promise<void> {
  await db
    .updateTable('loose_blobs')
    .set({ sweep_after: 0 })
    .where('sweep_after', '<=', before)
    .execute()
}

/** Keeps every loose blob from the sweep: newer rows, which are lost, may have held it. */
export async function postponeLooseBlobs(
  db: Database,
  { until }: { until: number },
): Promise<void> {
  await db.updateTable('loose_blobs').set({ sweep_after: until }).execute()
}
