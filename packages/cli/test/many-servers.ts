/** Several servers as processes of their own on one PostgreSQL and one S3. */

import type { TestStores } from '../../server/test/test-stores.ts'
import { type Coffer, startCoffer } from './start-coffer.ts'

/** A server on stores that others may use, too. */
export function startOn(
  { settings }: TestStores,
  env: Readonly<Record<string, string>> = {},
): Promise<Coffer> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env
  return startCoffer({ env: { ...settings, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...env } })
}

/** What the stores say of themselves that should never be; each list is empty. */
export interface StoreFaults {
  /** Blobs that a file or a part has and the store of bytes has not. */
  readonly missing: string[]
  /** Blobs that are there and that no row knows. */
  readonly orphans: string[]
  /** Blobs that two rows hold. */
  readonly doubled: string[]
  /** Organizations whose usage is not the sum of their files and pending Uploads. */
  readonly miscounted: string[]
}

export const noStoreFaults: StoreFaults = { missing: [], orphans: [], doubled: [], miscounted: [] }

/** While nothing is under way. */
export async function findStoreFaults({ query, listBlobs }: TestStores): Promise<StoreFaults> {
  const blobs = new Set(await listBlobs())
  const held = await idsOf(
    query('select blob_id as id from segments union all select blob_id as id from parts'),
  )
  const loose = await idsOf(query('select blob_id as id from loose_blobs'))
  const known = new Set([...held, ...loose])
  const miscounted = query<{ id: string }>(
    `select id from organizations where used_bytes <>
      coalesce((select sum(bytes) from files where organization_id = organizations.id), 0) +
      coalesce((select sum(bytes) from uploads
        where organization_id = organizations.id and status = 'pending'), 0)`,
  )
  return {
    missing: held.filter((id) => !blobs.has(id)),
    orphans: [...blobs].filter((id) => !known.has(id)),
    doubled: held.filter((id, at) => held.indexOf(id) !== at || loose.includes(id)),
    miscounted: await idsOf(miscounted),
  }
}

async function idsOf(rows: Promise<{ id: string }[]>): Promise<string[]> {
  return (await rows).map(({ id }) => id)
}
