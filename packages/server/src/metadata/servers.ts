/** Rows of the servers that run on one store, and of what each may be writing. */

import { prepared } from './prepared.ts'
import type { Database } from './tables.ts'

export interface ServerRow {
  readonly id: string
  /** Counted up by the server for as long as it lives. */
  readonly signs: number
}

/** Counts a server's signs up, from 1 where it is not known; gives all servers by their ids. */
export async function renewServer(db: Database, { id }: { id: string }): Promise<ServerRow[]> {
  await db
    .insertInto('servers')
    .values({ id, signs: 1 })
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({ signs: eb('servers.signs', '+', 1) })),
    )
    .execute()
  return db.selectFrom('servers').orderBy('id').selectAll().execute()
}

/** Makes a server known that gave no sign yet. */
export const ensureServer = prepared((db, { id }: { id: string }) =>
  db
    .insertInto('servers')
    .values({ id, signs: 0 })
    .onConflict((conflict) => conflict.doNothing()),
)

/**
 * Forgets a server that ended, if it gave no sign since. What it was writing is due to be swept at once; until
 * then it can still be held, should the server live after all.
 */
export async function forgetServer(db: Database, { id, signs }: ServerRow): Promise<void> {
  const forgotten = await db
    .deleteFrom('servers')
    .where('id', '=', id)
    .where('signs', '=', signs)
    .executeTakeFirstOrThrow()
  if (forgotten.numDeletedRows === 0n) return
  await db
    .updateTable('loose_blobs')
    .set({ sweep_after: 1, server_id: null })
    .where('server_id', '=', id)
    .where('sweep_after', '>', 0)
    .execute()
}
