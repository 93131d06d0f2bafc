import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempDisposable, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { describeMetadataStore, type OpenStore } from './conformance.ts'
import type { NewFile } from './files.ts'
import type { MetadataStore } from './metadata-store.ts'
import { openSqliteStore } from './sqlite.ts'

describeMetadataStore('a database in memory', () => openDisposable(':memory:'))

describeMetadataStore('a database file', async () => {
  const folder = await makeFolder()
  const store = await openSqliteStore(join(folder.path, 'coffer.db'))
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store.close()
      await folder.remove()
    },
  }
})

describe('a database file', () => {
  it('keeps its rows when it is closed and opened again', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'coffer.db')
    const before = await openOwned(path)
    await before.setApiKey({ ...owner, id: 'key_1', name: 'One', digest: 'd1', now })
    await add(before, newFile('f1'))
    await add(before, newFile('f2'))
    await before.deleteFile({ project_id, id: 'f2', now })
    await before.addLooseBlobs({
      ...{ blob_ids: ['loose'], sweep_after: now, server_id: 'server_1' },
    })
    const place = await before.findFilePosition({ project_id, id: 'f2' })
    await before.close()

    await using opened = await openDisposable(path)
    const after = opened.store
    expect(await after.ensureOwner({ ...otherOwner, now })).toEqual(owner)
    expect(await after.findKeyOwner({ digest: 'd1' })).toEqual(owner)
    expect(await after.findUsedBytes(owner)).toBe(10)
    expect(await after.findFile({ project_id, id: 'f1', now })).toMatchObject({ bytes: 10 })
    expect(await after.findFilePosition({ project_id, id: 'f2' })).toEqual(place)
    const loose = await after.takeSweepableBlobs({
      ...{ now, after_id: '', limit: 10, restored_before: 0, history: null },
      ...{ server_id: 'server_1', share: { from: '', to: '~' } },
    })
    expect(loose).toEqual(['blob-f2', 'loose'])
  })

  it('gives the place of a deleted file to none that is added after it was opened again', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'coffer.db')
    const before = await openOwned(path)
    await add(before, newFile('f1'))
    await before.deleteFile({ project_id, id: 'f1', now })
    await before.close()

    await using opened = await openDisposable(path)
    await add(opened.store, newFile('f2'))
    const deleted = await opened.store.findFilePosition({ project_id, id: 'f1' })
    const added = await opened.store.findFilePosition({ project_id, id: 'f2' })
    expect(added?.sequence).toBeGreaterThan(deleted?.sequence ?? Number.POSITIVE_INFINITY)
  })

  it('has a write-ahead log while it is open, and none once it is closed', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'coffer.db')
    const store = await openOwned(path)
    expect(await store.findUsedBytes(owner)).toBe(0)
    await store.check()
    expect((await readdir(folder.path)).sort()).toEqual([
      'coffer.db',
      'coffer.db-ballast',
      'coffer.db-shm',
      'coffer.db-wal',
    ])
    await store.close()
    expect((await readdir(folder.path)).sort()).toEqual(['coffer.db', 'coffer.db-ballast'])
  })

  it('of a newer Coffer is refused, and left as it is', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'coffer.db')
    await (await openOwned(path)).close()
    using database = new DatabaseSync(path)
    database.exec('pragma user_version = 99')
    await expect(openSqliteStore(path)).rejects.toThrow(
      /^The database has schema 99, and this Coffer knows \d+ at most\. Start the newer Coffer/,
    )
    expect(database.prepare('pragma user_version').get()).toEqual({ user_version: 99 })
  })

  it('that is no database is refused', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'coffer.db')
    await writeFile(path, 'This is a letter to a friend.'.repeat(100))
    await expect(openSqliteStore(path)).rejects.toThrow('file is not a database')
  })

  it('in a folder that does not exist is refused', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'none', 'coffer.db')
    await expect(openSqliteStore(path)).rejects.toThrow('unable to open database file')
  })
})

describe('two tenants of a database file', () => {
  it('see only what is theirs', async () => {
    await using opened = await openForTwo()
    const { store } = opened
    await add(store, newFile('f1'))
    await add(store, newFile('f2', otherOwner))
    for (const [mine, theirs, project_id] of [
      ['f1', 'f2', owner.project_id],
      ['f2', 'f1', otherOwner.project_id],
    ] as const) {
      const listed = await store.listFiles({ project_id, now, order: 'asc', limit: 10 })
      expect(listed.map(({ id }) => id)).toEqual([mine])
      expect(await store.findFile({ project_id, id: theirs, now })).toBe(undefined)
      expect(await store.findFilePosition({ project_id, id: theirs })).toBe(undefined)
      expect(await store.listSegments({ project_id, file_id: theirs })).toEqual([])
      expect(await store.deleteFile({ project_id, id: theirs, now })).toBe(undefined)
    }
  })

  it('have a quota each', async () => {
    await using opened = await openForTwo()
    const { store } = opened
    await add(store, newFile('f1', { bytes: 100 }), 100)
    await add(store, newFile('f2', { ...otherOwner, bytes: 90 }), 100)
    await store.deleteFile({ project_id, id: 'f1', now })
    expect(await store.findUsedBytes(owner)).toBe(0)
    expect(await store.findUsedBytes(otherOwner)).toBe(90)
  })

  it('have keys of the same name, and never one of the same digest', async () => {
    await using opened = await openForTwo()
    const { store } = opened
    await store.setApiKey({ ...owner, id: 'key_1', name: 'One', digest: 'd1', now })
    await store.setApiKey({ ...otherOwner, id: 'key_2', name: 'One', digest: 'd2', now })
    const stolen = { ...otherOwner, id: 'key_3', name: 'Two', digest: 'd1', now }
    await expect(store.setApiKey(stolen)).rejects.toThrow(/unique/i)
    expect(await store.findKeyOwner({ digest: 'd1' })).toEqual(owner)
    expect(await store.findKeyOwner({ digest: 'd2' })).toEqual(otherOwner)
  })

  it('both lose the files that expired', async () => {
    await using opened = await openForTwo()
    const { store } = opened
    await add(store, newFile('f1', { expires_at: now }))
    await add(store, newFile('f2', { ...otherOwner, expires_at: now }))
    expect(await store.deleteExpiredFiles({ now, limit: 10 })).toBe(2)
    expect(await store.findUsedBytes(owner)).toBe(0)
    expect(await store.findUsedBytes(otherOwner)).toBe(0)
  })
})

describe('a writer thread', () => {
  it.each<[string, (writer: Worker) => void]>([
    ['fails', (writer) => writer.postMessage(null)],
    ['is stopped', (writer) => void writer.terminate()],
  ])('that %s rejects the calls that wait for it and all later ones', async (_, end) => {
    const { store, writer } = await openWithWriter(':memory:')
    const waiting = [store.check(), store.findKeyOwner({ digest: 'd1' })]
    const outcomes = Promise.allSettled(waiting)
    end(writer)
    const stopped = { status: 'rejected', reason: { code: 'unavailable' } }
    expect(await outcomes).toMatchObject([stopped, stopped])
    await expect(store.check()).rejects.toMatchObject({
      cause: { message: 'The SQLite writer stopped.' },
    })
    await store.close()
  })
})

const owner = { organization_id: 'org-1', project_id: 'proj_1' }
const otherOwner = { organization_id: 'org-2', project_id: 'proj_2' }
const { project_id } = owner
const now = 1_700_000_000

const makeFolder = () => mkdtempDisposable(join(tmpdir(), 'coffer-metadata-'))

function newFile(id: string, differences: Partial<NewFile> = {}): NewFile {
  const bytes = differences.bytes ?? 10
  return {
    id,
    ...owner,
    purpose: 'batch',
    filename: 'f.jsonl',
    bytes,
    sha256: '00'.repeat(32),
    encoding: 'binary',
    ...{ mime_type: null, num_lines: null, tokens: null },
    created_at: now,
    expires_at: null,
    segments: [{ blob_id: `blob-${id}`, bytes, checksums: new Uint8Array() }],
    ...differences,
  }
}

async function add(store: MetadataStore, file: NewFile, quota_bytes = 1000): Promise<void> {
  await store.addLooseBlobs({
    ...{ blob_ids: [`blob-${file.id}`], sweep_after: now, server_id: 'server_1' },
  })
  expect(await store.addFile({ file, quota_bytes })).toBe('added')
}

async function openDisposable(path: string): Promise<OpenStore> {
  const store = await openSqliteStore(path)
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

async function openOwned(path: string): Promise<MetadataStore> {
  const store = await openSqliteStore(path)
  await store.ensureOwner({ ...owner, now })
  return store
}

/** A store of two owners, the second of which no operation can make yet. */
async function openForTwo(): Promise<OpenStore> {
  const folder = await makeFolder()
  const path = join(folder.path, 'coffer.db')
  const store = await openOwned(path)
  using database = new DatabaseSync(path, { timeout: 5000 })
  database.exec(`
    insert into organizations (id, name, created_at) values ('org-2', 'Other', ${now});
    insert into projects (id, organization_id, name, created_at)
      values ('proj_2', 'org-2', 'Other', ${now})`)
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store.close()
      await folder.remove()
    },
  }
}

/** Node tells of every thread that is made, and so of the one that the store keeps to itself. */
async function openWithWriter(path: string): Promise<{ store: MetadataStore; writer: Worker }> {
  const made = Promise.withResolvers<Worker>()
  const tell = (message: unknown) => made.resolve((message as { worker: Worker }).worker)
  subscribe('worker_threads', tell)
  try {
    return { store: await openSqliteStore(path), writer: await made.promise }
  } finally {
    unsubscribe('worker_threads', tell)
  }
}
