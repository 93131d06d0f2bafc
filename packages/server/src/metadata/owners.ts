/** Rows of organizations, projects and their API keys. */

import { lockStore } from './dialect.ts'
import { prepared } from './prepared.ts'
import type { Database } from './tables.ts'

export interface Owner {
  readonly organization_id: string
  readonly project_id: string
}

/** The oldest project, made with its organization from the given ids if there is none yet. */
export async function ensureOwner(
  db: Database,
  { organization_id, project_id, now }: Owner & { now: number },
): Promise<Owner> {
  await lockStore(db)
  const oldest = await db
    .selectFrom('projects')
    .orderBy('created_at')
    .orderBy('id')
    .select(['organization_id', 'id as project_id'])
    .executeTakeFirst()
  if (oldest !== undefined) return oldest
  await db
    .insertInto('organizations')
    .values({ id: organization_id, name: 'Default organization', created_at: now })
    .execute()
  await db
    .insertInto('projects')
    .values({ id: project_id, organization_id, name: 'Default project', created_at: now })
    .execute()
  return { organization_id, project_id }
}

const selectUsedBytes = prepared((db, { organization_id }: { organization_id: string }) =>
  db.selectFrom('organizations').where('id', '=', organization_id).select('used_bytes'),
)

export async function findUsedBytes(
  db: Database,
  organization: { organization_id: string },
): Promise<number> {
  const { rows } = await selectUsedBytes(db, organization)
  const [row] = rows
  if (row === undefined) throw new Error(`There is no ${organization.organization_id}.`)
  return row.used_bytes
}

export interface NewApiKey extends Owner {
  readonly id: string
  readonly name: string
  readonly digest: string
  readonly now: number
}

/** Makes a key the only one of its project; former ones stop working. One of that digest stays as it is. */
export async function setApiKey(db: Database, key: NewApiKey): Promise<void> {
  await lockStore(db)
  await db
    .deleteFrom('api_keys')
    .where('project_id', '=', key.project_id)
    .where('digest', '<>', key.digest)
    .execute()
  const same = await db
    .selectFrom('api_keys')
    .where('project_id', '=', key.project_id)
    .select('id')
    .executeTakeFirst()
  if (same === undefined) await insertApiKey(db, key)
}

/** Adds a key to a project that has none; `false` if it has one. */
export async function addFirstApiKey(db: Database, key: NewApiKey): Promise<boolean> {
  await lockStore(db)
  const first = await db
    .selectFrom('api_keys')
    .where('project_id', '=', key.project_id)
    .select('id')
    .executeTakeFirst()
  if (first !== undefined) return false
  await insertApiKey(db, key)
  return true
}

async function insertApiKey(db: Database, { now, ...row }: NewApiKey): Promise<void> {
  await db
    .insertInto('api_keys')
    .values({ ...row, created_at: now })
    .execute()
}

const selectKeyOwner = prepared((db, { digest }: { digest: string }) =>
  db.selectFrom('api_keys').where('digest', '=', digest).select(['organization_id', 'project_id']),
)

/** Whose key has this digest: the one look-up that comes before a caller is known. */
export async function findKeyOwner(
  db: Database,
  key: { digest: string },
): Promise<Owner | undefined> {
  const { rows } = await selectKeyOwner(db, key)
  return rows[0]
}
