/** Which store these rows belong to, and how far they are: held against the mark of the bytes. */

import { findHistory, findTime, lockStore } from './dialect.ts'
import type { Database } from './tables.ts'

export interface StoreMark {
  readonly id: string
  /** Counts up at every start and every so often; the same in the rows and beside the bytes. */
  readonly generation: number
}

export interface StoreRow extends StoreMark {
  /** When the rows were found to be older than the bytes, as after a restored backup. */
  readonly restored_at: number | null
  /** Of the database, as the rows were in it last; null where it has none. */
  readonly history: string | null
}

export interface StoreState {
  /** Undefined in a new database, or one from before there were marks. */
  readonly store: StoreRow | undefined
  readonly has_files: boolean
  /** Of the database as it is. */
  readonly history: string | null
  /** By the clock of the database, in Unix seconds; null where it has none of its own. */
  readonly time: number | null
}

export async function findStore(db: Database): Promise<StoreState> {
  const store = await selectStore(db)
  const file = await db.selectFrom('files').select('id').limit(1).executeTakeFirst()
  const [history, time] = [await findHistory(db), await findTime(db)]
  return { store, has_files: file !== undefined, history, time }
}

/** Makes these the rows of a store, of this id unless they are of one already. */
export async function claimStore(
  db: Database,
  { id, history }: { id: string; history: string | null },
): Promise<StoreRow> {
  await lockStore(db)
  const store = await selectStore(db)
  if (store !== undefined) return store
  const row = { id, generation: 0, restored_at: null, history }
  await db.insertInto('store').values(row).execute()
  return row
}

/** Counts the generation of the store up, to more than `above`, and gives it; `older` if it is below what is known. */
export async function advanceStore(
  db: Database,
  { above, known, history }: { above: number; known: number; history: string | null },
): Promise<number | 'older'> {
  await lockStore(db)
  const { generation } = await db.selectFrom('store').select('generation').executeTakeFirstOrThrow()
  if (generation < known) return 'older'
  const next = Math.max(generation, above) + 1
  await db.updateTable('store').set({ generation: next, history }).execute()
  return next
}

/** Remembers that the rows are older than the bytes, since when the sweep keeps what newer rows may have held. */
export async function noteRestored(db: Database, { now }: { now: number }): Promise<void> {
  await lockStore(db)
  await db.updateTable('store').set({ restored_at: now }).execute()
}

/** Changes nothing, durably: so it is known whether something could be changed. */
export async function touchStore(db: Database): Promise<void> {
  await db
    .updateTable('store')
    .set((eb) => ({ generation: eb.ref('generation') }))
    .execute()
}

function selectStore(db: Database): Promise<StoreRow | undefined> {
  return db.selectFrom('store').selectAll().executeTakeFirst()
}
