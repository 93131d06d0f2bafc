/** The list of blobs that no file holds. */

import { findHistory, hasManyWriters } from './dialect.ts'
import { inOrder } from './in-order.ts'
import { prepared } from './prepared.ts'
import { ensureServer } from './servers.ts'
import type { Database } from './tables.ts'

/**
 * Lists blobs that a server is to write. The sweep leaves them alone until `sweep_after`, and then only
 * that of the same server takes them.
 */
export async function addLooseBlobs(
  db: Database,
  {
    blob_ids,
    sweep_after,
    server_id,
  }: { blob_ids: readonly string[]; sweep_after: number; server_id: string },
): Promise<void> {
  const rows = blob_ids.map((blob_id) => ({ blob_id, sweep_after, server_id }))
  await inOrder([
    db.insertInto('loose_blobs').values(rows).execute(),
    // Of a server that nobody knows nobody would sweep them, should it end.
    ensureServer(db, { id: server_id }),
  ])
}

/** Takes a blob so that no file can hold it any more; `false` if it is held or gone. */
export async function takeLooseBlob(
  db: Database,
  { blob_id }: { blob_id: string },
): Promise<boolean> {
  const taken = await db
    .updateTable('loose_blobs')
    .set({ sweep_after: 0, server_id: null })
    .where('blob_id', '=', blob_id)
    .executeTakeFirstOrThrow()
  return taken.numUpdatedRows === 1n
}

export interface TakeSweepableBlobs {
  readonly now: number
  /** Whose sweep it is. */
  readonly server_id: string
  /** Of the blobs that no server writes, it takes those whose ids lie from here to before there. */
  readonly share: { readonly from: string; readonly to: string }
  readonly after_id: string
  readonly limit: number
  /** Those of its own that are being written. */
  readonly except?: readonly string[]
  /** Where older rows were restored since, it takes nothing that newer rows may have held. */
  readonly restored_before: number
  /** Of the database as it was when the rows were looked at; in another one it takes nothing. */
  readonly history: string | null
}

/**
 * Takes at most `limit` blobs that the sweep of a server may have, in the order of ids behind `after_id`. Those
 * that are taken already are among them, as nothing can hold them.
 */
export async function takeSweepableBlobs(
  db: Database,
  options: TakeSweepableBlobs,
): Promise<string[]> {
  const { now, server_id, share, after_id, limit, except = [], restored_before, history } = options
  // A fail-over since may have brought back rows from before a blob was held.
  if (history !== null && (await findHistory(db)) !== history) return []
  const rows = await db
    .updateTable('loose_blobs')
    .set({ sweep_after: 0, server_id: null })
    .where('blob_id', 'in', (eb) =>
      eb
        .selectFrom('loose_blobs')
        .where('sweep_after', '<=', now)
        .where('blob_id', '>', after_id)
        .where(({ exists, not, or, selectFrom }) =>
          or([
            eb('sweep_after', '=', 0),
            not(
              exists(selectFrom('store').where('restored_at', '>', restored_before).select('id')),
            ),
          ]),
        )
        .where(({ and, or }) =>
          or([
            eb('server_id', '=', server_id),
            and([
              eb('server_id', 'is', null),
              eb('blob_id', '>=', share.from),
              eb('blob_id', '<', share.to),
            ]),
          ]),
        )
        .$if(except.length > 0, (query) => query.where('blob_id', 'not in', except))
        .orderBy('blob_id')
        .limit(limit)
        .select('blob_id')
        // What others change now is swept the next time.
        .$if(hasManyWriters(db), (query) => query.forUpdate().skipLocked()),
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
