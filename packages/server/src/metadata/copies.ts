/** What is changed in a copy of the rows, so that it fits the bytes that are copied after it. */

import { giveQuotaBack } from './files.ts'
import type { StoreRow } from './store-mark.ts'
import type { Database } from './tables.ts'

/**
 * Forgets the blobs that are not copied: those that no file holds, and so the Uploads. As the copy will have no others,
 * it counts as no restored one, whose bytes may belong to newer rows.
 *
 * @throws if the rows are of no store yet.
 */
export async function settleCopy(db: Database): Promise<StoreRow> {
  const uploads = await db
    .selectFrom('uploads')
    .where('status', '=', 'pending')
    .select(['organization_id', 'bytes'])
    .execute()
  for (const upload of uploads) await giveQuotaBack(db, upload)
  await db.deleteFrom('parts').execute()
  await db.deleteFrom('uploads').execute()
  await db.deleteFrom('loose_blobs').execute()
  await db.deleteFrom('orphans').execute()
  await db.deleteFrom('servers').execute()
  await db
    .updateTable('store')
    // One back, so that rows of a copy are known as older beside bytes that went on since.
    .set((eb) => ({ restored_at: null, generation: eb('generation', '-', 1) }))
    .execute()
  const store = await db.selectFrom('store').selectAll().executeTakeFirst()
  if (store !== undefined) return store
  throw new Error('The rows are of no store yet. Start the server once: coffer serve.')
}

/** Takes out a file that was deleted since; gives the blobs that it held. */
export async function dropFile(db: Database, { id }: { id: string }): Promise<string[]> {
  const segments = await db
    .deleteFrom('segments')
    .where('file_id', '=', id)
    .returning('blob_id')
    .execute()
  const file = await db
    .deleteFrom('files')
    .where('id', '=', id)
    .returning(['organization_id', 'bytes'])
    .executeTakeFirst()
  if (file !== undefined) await giveQuotaBack(db, file)
  return segments.map(({ blob_id }) => blob_id)
}
