import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createBlobStore } from '../blobs/blob-store.ts'
import { createMemoryDriver } from '../blobs/memory.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { createIds } from './ids.ts'
import { bindStores, type StoreBinding, type StoreBindingNeeds } from './store-binding.ts'

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
      async advanceStore() {
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

  it('are marked alike by servers that count at once', async () => {
    await using pair = await openPair()
    const bindings = await Promise.all([pair.bind(), pair.bind(), pair.bind()])
    await Promise.all(bindings.map((binding) => binding.advance()))
    const { store } = await pair.metadata.findStore()
    expect([store?.generation, (await pair.mark()).generation]).toEqual([6, 6])
    await bindings[0]?.look()
    expect(pair.warnings).toEqual([])
  })

  it('are refused where the clocks of the machine and of the database differ', async () => {
    await using pair = await openPair()
    const at = (time: number): MetadataStore => ({
      ...pair.metadata,
      findStore: async () => ({ ...(await pair.metadata.findStore()), time }),
    })
    for (const time of [start - 5, start + 5]) {
      await pair.bind({ metadata: at(time), isOfMachine: true })
    }
    await expect(pair.bind({ metadata: at(start - 6), isOfMachine: true })).rejects.toThrow(
      /^The clock of this machine is 6 seconds ahead of that of the database\. Set both by NTP/,
    )
    const behind = pair.bind({ metadata: at(start + 6), isOfMachine: true })
    await expect(behind).rejects.toThrow('is 6 seconds behind that')
    // One that was given.
    await pair.bind({ metadata: at(start + 6) })
  })

  it('are found out when the bytes are replaced under a running server', async () => {
    await using pair = await openPair()
    await using other = await openPair()
    const binding = await pair.bind()
    await binding.check()
    await other.bind()
    await pair.blobs.writeMark((await other.blobs.readMark()) ?? '')
    await expect(binding.check()).rejects.toThrow('not those of this store')
    await expect(binding.look()).rejects.toThrow('not both those of this store')
  })
})

describe('rows that are older than the bytes', () => {
  it('are told, and keep the sweep from their loose blobs and from orphans for a week', async () => {
    await using pair = await openPair()
    const before = await pair.bind()
    expect(before.isRestored()).toBe(false)
    await pair.metadata.addLooseBlobs({
      ...{ blob_ids: ['aa01'], sweep_after: start, server_id: 'server_1' },
    })
    await pair.putMarkAhead()

    const after = await pair.bind()
    expect(pair.warnings).toEqual([expect.stringContaining('older than the bytes')])
    expect(after.isRestored()).toBe(true)
    expect(await pair.sweepable(after)).toEqual([])

    pair.clock.time = start + 3 * day
    const later = await pair.bind()
    expect(later.isRestored()).toBe(true)
    expect(await pair.sweepable(later)).toEqual([])

    pair.clock.time = start + 7 * day
    expect(later.isRestored()).toBe(false)
    expect(await pair.sweepable(later)).toEqual(['aa01'])
  })

  it('are found out under a running server, which goes on above the bytes', async () => {
    await using pair = await openPair()
    const binding = await pair.bind()
    await pair.putMarkAhead()
    const { generation } = await pair.mark()
    await binding.look()
    expect(binding.isRestored()).toBe(true)
    expect(pair.warnings).toHaveLength(1)
    expect((await pair.mark()).generation).toBe(generation + 1)
    await binding.look()
    expect(pair.warnings).toHaveLength(1)
  })

  it('are told by the database that went on elsewhere', async () => {
    await using pair = await openPair()
    const on = (history: string | null): MetadataStore => ({
      ...pair.metadata,
      findStore: async () => ({ ...(await pair.metadata.findStore()), history }),
    })
    expect((await pair.bind({ metadata: on(null) })).isRestored()).toBe(false)
    expect((await pair.bind({ metadata: on('1/1') })).isRestored()).toBe(false)
    expect((await pair.bind({ metadata: on('1/1') })).isRestored()).toBe(false)
    const after = await pair.bind({ metadata: on('1/2') })
    expect(after.isRestored()).toBe(true)
    expect(pair.warnings).toHaveLength(1)
    pair.clock.time = start + 8 * day
    expect((await pair.bind({ metadata: on('1/2') })).isRestored()).toBe(false)
  })

  it('are known to another server on the same stores as soon as it looks', async () => {
    await using pair = await openPair()
    const one = await pair.bind()
    const other = await pair.bind()
    await pair.putMarkAhead()
    await one.look()
    expect(other.isRestored()).toBe(false)
    await other.look()
    expect(other.isRestored()).toBe(true)
    expect(pair.warnings).toHaveLength(1)
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
    bind({ isOfMachine, ...other }: { isOfMachine?: true } & Partial<StoreBindingNeeds> = {}) {
      const asClock = isOfMachine ? { now: clock.now, isOfMachine } : clock
      return bindStores({ metadata, blobs, clock: asClock, ids, log, ...other })
    },
    /** As it is when the rows are replaced by older ones. */
    async putMarkAhead() {
      const mark = JSON.parse((await blobs.readMark()) ?? '')
      await blobs.writeMark(JSON.stringify({ ...mark, generation: mark.generation + 1 }))
    },
    async mark(): Promise<{ id: string; generation: number }> {
      return JSON.parse((await blobs.readMark()) ?? '')
    },
    async addFile() {
      await metadata.addLooseBlobs({
        ...{ blob_ids: ['held'], sweep_after: start + day, server_id: 'server_1' },
      })
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
    sweepable: (binding: StoreBinding) =>
      metadata.takeSweepableBlobs({
        ...{ now: clock.time, after_id: '', limit: 10, ...binding.state() },
        ...{ server_id: 'server_1', share: { from: '', to: '~' } },
      }),
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}
