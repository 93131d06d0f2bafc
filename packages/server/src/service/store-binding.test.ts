import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type BlobStore, createBlobStore } from '../blobs/blob-store.ts'
import { createMemoryDriver } from '../blobs/memory.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { createIds } from './ids.ts'
import { bindStores } from './store-binding.ts'

const start = 1_700_000_000
const day = 24 * 3600

describe('rows and bytes', () => {
  it('of a new store belong together from then on, at each start a generation further', async () => {
    await using pair = await openPair()
    await pair.bind()
    const first = await pair.mark()
    await pair.bind()
    const second = await pair.mark()
    expect(second).toMatchObject({ id: first.id, generation: first.generation + 1 })
    expect((await pair.metadata.findStore()).store).toMatchObject({
      id: second.id,
      generation: second.generation,
      restored_at: null,
    })
  })

  it('of two stores are refused, with their names', async () => {
    await using one = await openPair()
    await using other = await openPair()
    await one.bind()
    await other.bind()
    await expect(one.bind({ blobs: other.blobs })).rejects.toThrow(
      /^The rows belong to the store store_\w+, and the bytes to the store store_\w+\. Check/,
    )
  })

  it('are refused if the database is new and the bytes are not', async () => {
    await using old = await openPair()
    await using fresh = await openPair()
    await old.bind()
    await expect(old.bind({ metadata: fresh.metadata })).rejects.toThrow(/the database is new/)
  })

  it('are refused if there are files and the folder of bytes is empty', async () => {
    await using old = await openPair()
    await using fresh = await openPair()
    await old.bind()
    await old.addFile()
    await expect(old.bind({ blobs: fresh.blobs })).rejects.toThrow(
      /volume with the bytes mounted\?$/,
    )
  })

  it('begin anew if there are no files yet and the folder of bytes is empty', async () => {
    await using old = await openPair()
    await using fresh = await openPair()
    await old.bind()
    await old.bind({ blobs: fresh.blobs })
    expect((await fresh.mark()).id).toBe((await old.mark()).id)
  })

  it('are bound by the next start if the first one ended in between', async () => {
    await using pair = await openPair()
    const metadata = {
      ...pair.metadata,
      async setStore() {
        throw new Error('The process is killed.')
      },
    }
    await expect(pair.bind({ metadata })).rejects.toThrow('killed')
    const { id } = await pair.mark()
    await pair.bind()
    expect(await pair.mark()).toMatchObject({ id, generation: 1 })
  })

  it('are taken as they are where they were made before there were marks', async () => {
    await using pair = await openPair()
    await pair.addFile()
    await pair.bind()
    expect((await pair.mark()).generation).toBe(1)
  })

  it('are refused with a mark of a newer Coffer or none that can be read', async () => {
    await using pair = await openPair()
    for (const mark of ['{"format": 2, "id": "store_1", "generation": 1}', 'what?', '{}']) {
      await pair.blobs.writeMark(mark)
      await expect(pair.bind()).rejects.toThrow('cannot be read')
    }
  })

  it('are found out when the bytes are replaced under a running server', async () => {
    await using pair = await openPair()
    await using other = await openPair()
    const binding = await pair.bind()
    await binding.check()
    await other.bind()
    await pair.blobs.writeMark((await other.blobs.readMark()) ?? '')
    await expect(binding.check()).rejects.toThrow('not those of this store')
  })
})

describe('rows that are older than the bytes', () => {
  it('are told, and keep the sweep from their loose blobs and from orphans for a week', async () => {
    await using pair = await openPair()
    const before = await pair.bind()
    expect(before.isRestored()).toBe(false)
    await pair.metadata.addLooseBlobs({ blob_ids: ['aa01'], sweep_after: start })
    const { store } = await pair.metadata.findStore()
    await before.advance()
    if (store !== undefined) await pair.metadata.setStore(store)

    const after = await pair.bind()
    expect(pair.warnings).toEqual([expect.stringContaining('older than the bytes')])
    expect(after.isRestored()).toBe(true)
    expect(await pair.sweepable()).toEqual([])

    pair.clock.time = start + 3 * day
    const later = await pair.bind()
    expect(later.isRestored()).toBe(true)
    expect(await pair.sweepable()).toEqual([])

    pair.clock.time = start + 7 * day
    expect(later.isRestored()).toBe(false)
    expect(await pair.sweepable()).toEqual(['aa01'])
  })

  it('by a crash between the two marks are no restored ones', async () => {
    await using pair = await openPair()
    const binding = await pair.bind()
    const failing = await pair.blobs.readMark()
    await binding.advance()
    await pair.blobs.writeMark(failing ?? '')
    const after = await pair.bind()
    expect(after.isRestored()).toBe(false)
    expect(pair.warnings).toEqual([])
  })
})

async function openPair() {
  const metadata = await openSqliteStore(':memory:')
  const blobs = createBlobStore(createMemoryDriver())
  const clock = { time: start, now: () => clock.time }
  const ids = createIds(randomBytes)
  const warnings: string[] = []
  const log = { info() {}, warn: (_: object, text: string) => void warnings.push(text), error() {} }
  const owner = { organization_id: 'org-1', project_id: 'proj_1' }
  await metadata.ensureOwner({ ...owner, now: start })
  return {
    metadata,
    blobs,
    clock,
    warnings,
    bind(other: { metadata?: MetadataStore; blobs?: BlobStore } = {}) {
      return bindStores({ metadata, blobs, clock, ids, log, ...other })
    },
    async mark(): Promise<{ id: string; generation: number }> {
      return JSON.parse((await blobs.readMark()) ?? '')
    },
    async addFile() {
      await metadata.addLooseBlobs({ blob_ids: ['held'], sweep_after: start + day })
      const segments = [{ blob_id: 'held', bytes: 1, checksums: new Uint8Array() }]
      await metadata.addFile({
        file: {
          ...{ id: 'file-1', ...owner, purpose: 'batch', filename: 'f', bytes: 1, sha256: '' },
          ...{ encoding: 'binary', created_at: start, expires_at: null, segments },
          ...{ mime_type: null, num_lines: null, tokens: null },
        },
        quota_bytes: 10,
      })
    },
    sweepable: () => metadata.takeSweepableBlobs({ now: clock.time, after_id: '', limit: 10 }),
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}
