/** What changes in the midst of a look, at the very moments at which it could be taken for a fault. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DiskReader, openDiskReader } from '../blobs/disk-reader.ts'
import { openSqliteRows, type SqliteRows } from '../metadata/sqlite-rows.ts'
import { openStores, type Stores } from '../open-stores.ts'
import { inspectPart } from './inspect.ts'
import type { Places } from './places.ts'

const prefix = 'ab'
const blob_id = `${prefix}${'0'.repeat(30)}`
const owner = { organization_id: 'org-1', project_id: 'proj_1' }

let folder: string
let places: Places
let stores: Stores
let rows: SqliteRows
let bytes: DiskReader

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coffer-inspect-'))
  places = { database: join(folder, 'coffer.db'), blobs: join(folder, 'blobs') }
  stores = await openStores(
    {
      metadata: { driver: 'sqlite', path: places.database },
      blobs: { driver: 'disk', folder: places.blobs },
      metadataConnections: 1,
    },
    () => {},
  )
  await stores.metadata.ensureOwner({ ...owner, now: 1 })
  rows = openSqliteRows(places.database, { readOnly: true })
  bytes = openDiskReader(places.blobs)
})

afterEach(async () => {
  bytes[Symbol.dispose]()
  rows[Symbol.dispose]()
  await stores[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function* content() {
  yield Buffer.alloc(20_000)
}

/** In the order in which the service does it. */
async function upload(): Promise<void> {
  await stores.metadata.addLooseBlobs({
    ...{ blob_ids: [blob_id], sweep_after: 1000, server_id: 'server_1' },
  })
  const written = await stores.blobs.write(blob_id, content(), { maxBytes: 20_000 })
  await stores.metadata.addFile({
    file: {
      ...owner,
      ...{ id: 'file-1', purpose: 'user_data', filename: 'a', encoding: 'binary' as const },
      ...{ mime_type: null, num_lines: null, tokens: null },
      ...{ bytes: written.bytes, sha256: written.sha256, created_at: 1, expires_at: null },
      segments: [{ blob_id, bytes: written.bytes, checksums: written.checksums }],
    },
    quota_bytes: 1_000_000,
  })
}

async function remove(): Promise<void> {
  const { project_id } = owner
  const taken = await stores.metadata.deleteFile({ project_id, id: 'file-1', now: 2 })
  for (const id of taken ?? []) {
    await stores.blobs.delete(id)
    await stores.metadata.forgetLooseBlob({ blob_id: id })
  }
}

function look(changed: Partial<DiskReader>) {
  return inspectPart({ places, db: rows.db, bytes: { ...bytes, ...changed }, prefix, now: 10 })
}

describe('a look beside a server', () => {
  it('takes no file for dangling that came after its bytes were looked for', async () => {
    const found = await look({
      async list(part) {
        const listed = await bytes.list(part)
        await upload()
        return listed
      },
    })
    expect(found).toMatchObject({ faults: [], orphans: [] })
  })

  it('takes no bytes for orphans whose file was deleted after they were seen', async () => {
    await upload()
    const found = await look({
      async list(part) {
        const listed = await bytes.list(part)
        await remove()
        return listed
      },
    })
    expect(found).toMatchObject({ faults: [], orphans: [] })
  })

  it('takes no file for dangling that was deleted after its row was read', async () => {
    await upload()
    const found = await look({
      list: async () => [],
      async size(id) {
        await remove()
        return bytes.size(id)
      },
    })
    expect(found).toMatchObject({ faults: [], orphans: [] })
  })

  it('takes for dangling what is', async () => {
    await upload()
    await stores.blobs.delete(blob_id)
    const { faults } = await look({})
    expect(faults).toEqual([{ kind: 'dangling', file: 'file-1', blob: blob_id }])
  })
})
