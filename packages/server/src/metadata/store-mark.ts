/** Which store these rows belong to, and how far they are: held against the mark of the bytes. */

import type { Database } from './tables.ts'

export interface StoreMark {
  readonly id: string
  /** Counts up at every start and every so often; the same in the rows and beside the bytes. */
  readonly generation: number
}

export interface StoreRow extends StoreMark {
  /** When the rows were found to be older than the bytes, as after a restored backup. */
  readonly restored_at: number | null
}

export interface StoreState {
  /** Undefined in a new database, or one from before there were marks. */
  readonly store: StoreRow | undefined
  readonly has_files: boolean
}

export async function findStore(db: Database): Promise<StoreState> {
  const store = await db.selectFrom('store').selectAll().executeTakeFirst()
  const file = await db.selectFrom('files').select('id').limit(1).executeTakeFirst()
  return { store, has_files: file !== undefined }
}

export async function setStore(db: Database, row: StoreRow): Promise<void> {
  await db.deleteFrom('store').execute()
  await db.insertInto('store').values(row).execute()
}
