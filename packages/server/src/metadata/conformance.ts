/** What every metadata store must do, whatever database is under it. */

import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { FileRow, ListFiles, NewFile } from './files.ts'
import type { TakeSweepableBlobs } from './loose-blobs.ts'
import type { MetadataStore } from './metadata-store.ts'
import type { ServerRow } from './servers.ts'
import { describeUploads } from './uploads-conformance.ts'

export interface OpenStore extends AsyncDisposable {
  readonly store: MetadataStore
}

/** @param open opens a store that has no rows. */
export function describeMetadataStore(name: string, open: () => Promise<OpenStore>): void {
  describeUploads(name, open)

  describe(name, () => {
    // To open a store takes long, so most tests share one that has an owner and nothing else.
    let shared: OpenStore
    let store: MetadataStore

    beforeAll(async () => {
      shared = await openOwned()
      store = shared.store
    })
    afterEach(() => empty(store))
    afterAll(() => shared[Symbol.asyncDispose]())

    async function openOwned(): Promise<OpenStore> {
      const opened = await open()
      await opened.store.ensureOwner({ ...owner, now })
      return opened
    }

    describe('an orphan', () => {
      const day = 24 * 3600
      const times = { prefix: 'aa', second_look_seconds: 3600, quarantine_seconds: day }

      it('is a blob that neither a file nor the loose ones have', async () => {
        await add(store, newFile('f1', { segments: segmentsOf('held') }))
        await loosen(store, ['loose'])
        const blob_ids = ['held', 'lost', 'loose', 'strange']
        expect(await store.findUnknownBlobs({ blob_ids })).toEqual(['lost', 'strange'])
      })

      it('is found, quarantined when it is seen again, and loose at last', async () => {
        const see = (time: number, ...blob_ids: string[]) =>
          store.noteOrphans({ ...times, blob_ids, now: time })
        expect(await see(now, 'aa1', 'aa2')).toEqual({ found: 2, quarantined: 0, released: 0 })
        expect(await see(now + 3599, 'aa1', 'aa2')).toMatchObject({ found: 0, quarantined: 0 })
        expect(await see(now + 3600, 'aa1', 'aa2')).toMatchObject({ quarantined: 2 })
        expect(await see(now + 3600 + day - 1, 'aa1', 'aa2')).toMatchObject({ released: 0 })
        expect(await takeAll(store)).toEqual([])
        expect(await see(now + 3600 + day, 'aa1', 'aa2', 'aa3')).toEqual({
          found: 1,
          quarantined: 0,
          released: 2,
        })
        expect(await takeAll(store)).toEqual(['aa1', 'aa2'])
        // Until their bytes are gone they are known.
        expect(await store.findUnknownBlobs({ blob_ids: ['aa1'] })).toEqual([])
      })

      it('begins anew if it was not seen in between', async () => {
        const see = (time: number, ...blob_ids: string[]) =>
          store.noteOrphans({ ...times, blob_ids, now: time })
        await see(now, 'aa1')
        await see(now + 100)
        expect(await see(now + 3600, 'aa1')).toMatchObject({ found: 1, quarantined: 0 })
      })

      it('of another part is left as it is', async () => {
        await store.noteOrphans({ ...times, blob_ids: ['aa1'], now })
        await store.noteOrphans({ ...times, prefix: 'ab', blob_ids: [], now: now + 10 })
        const seen = await store.noteOrphans({ ...times, blob_ids: ['aa1'], now: now + 3600 })
        expect(seen).toMatchObject({ quarantined: 1 })
      })
    })

    describe('a damaged file', () => {
      it('is marked once, with the time, for its own project only', async () => {
        await add(store, newFile('f1'))
        const mark = (at: number, project = project_id) =>
          store.markDamagedFile({ project_id: project, id: 'f1', now: at })
        await mark(now, 'proj_other')
        expect(await store.findFile({ project_id, id: 'f1', now })).toMatchObject({
          damaged_at: null,
        })
        await mark(now)
        await mark(now + 5)
        expect(await store.findFile({ project_id, id: 'f1', now })).toMatchObject({
          damaged_at: now,
        })
      })
    })

    describe('the mark of the store', () => {
      it('is not there at first, and is of who claims it first', async () => {
        expect(await store.findStore()).toMatchObject({ store: undefined, has_files: false })
        const [one, other] = await Promise.all([
          store.claimStore({ id: 'store_1', history: 'a' }),
          store.claimStore({ id: 'store_2', history: 'b' }),
        ])
        expect(other).toEqual(one)
        expect(one).toEqual({ id: 'store_1', generation: 0, restored_at: null, history: 'a' })
        await add(store, newFile('f1'))
        expect(await store.findStore()).toMatchObject({ store: one, has_files: true })
      })

      it('counts up, to more than it is told of', async () => {
        await store.claimStore({ id: 'store_1', history: null })
        const { store: before } = await store.findStore()
        const from = before?.generation ?? 0
        const advance = (above: number, history: string) =>
          store.advanceStore({ above, known: from, history })
        expect(await advance(0, 'c')).toBe(from + 1)
        expect(await advance(from + 10, 'd')).toBe(from + 11)
        const { store: after } = await store.findStore()
        expect(after).toMatchObject({ generation: from + 11, history: 'd' })
      })

      it('does not count rows up that are older than known ones', async () => {
        await store.claimStore({ id: 'store_1', history: null })
        const { store: before } = await store.findStore()
        const from = before?.generation ?? 0
        const values = { above: from + 10, known: from + 1, history: 'e' }
        expect(await store.advanceStore(values)).toBe('older')
        expect(await store.findStore()).toMatchObject({ store: before })
      })

      it('remembers that older rows were restored, and keeps all loose blobs for a time', async () => {
        await store.claimStore({ id: 'store_1', history: null })
        await loosen(store, ['a', 'b'])
        expect(await store.takeLooseBlob({ blob_id: 'a' })).toBe(true)
        await store.noteRestored({ now })
        expect(await store.findStore()).toMatchObject({ store: { restored_at: now } })
        // What was taken no file can hold any more, of older rows or of newer ones.
        expect(await sweep(store, { restored_before: now - 1 })).toEqual(['a'])
        expect(await sweep(store, { restored_before: now })).toEqual(['a', 'b'])
      })
    })

    describe('the sweep', () => {
      it('takes nothing where the database went on elsewhere since it was looked at', async () => {
        await loosen(store, ['a'])
        const { history } = await store.findStore()
        if (history !== null) expect(await sweep(store, { history: `${history}0` })).toEqual([])
        expect(await sweep(store, { history })).toEqual(['a'])
      })
    })

    describe('a server', () => {
      it('is known to the others by its signs', async () => {
        expect(await store.renewServer({ id: 'server_b' })).toEqual([{ id: 'server_b', signs: 1 }])
        await store.renewServer({ id: 'server_a' })
        expect(await store.renewServer({ id: 'server_b' })).toEqual([
          { id: 'server_a', signs: 1 },
          { id: 'server_b', signs: 2 },
        ])
      })

      it('that is forgotten leaves what it was writing to the sweep, and may hold it until then', async () => {
        await loosen(store, ['a', 'b', 'held'], 'server_gone')
        await loosen(store, ['c'], 'server_1')
        await store.forgetServer(await sign(store, 'server_gone'))
        expect(await store.renewServer({ id: 'server_1' })).toHaveLength(1)
        const addFile = (id: string, blob_id: string) =>
          store.addFile({
            file: newFile(id, { segments: segmentsOf(blob_id) }),
            quota_bytes: farAway,
          })
        expect(await addFile('f1', 'held')).toBe('added')
        expect(await sweep(store, { now })).toEqual(['a', 'b'])
        expect(await addFile('f2', 'a')).toBe('blob-swept')
      })

      it('that gave no sign yet is known by what it is to write', async () => {
        await loosen(store, ['a'], 'server_new')
        const servers = await store.renewServer({ id: 'server_1' })
        expect(servers).toContainEqual({ id: 'server_new', signs: 0 })
      })

      it('is not forgotten if it gave a sign since', async () => {
        const sign1 = await sign(store, 'server_1')
        await loosen(store, ['a'], 'server_1')
        await store.renewServer({ id: 'server_1' })
        await store.forgetServer(sign1)
        expect(await sweep(store, { now: 0 })).toEqual([])
        expect(await store.renewServer({ id: 'server_1' })).toEqual([{ id: 'server_1', signs: 3 }])
      })

      it('sweeps what it wrote itself, and its share of what nobody writes', async () => {
        await loosen(store, ['20', '90'], 'server_1')
        await loosen(store, ['21', '91'], 'server_2')
        for (const id of ['22', '92']) await add(store, newFile(id, { segments: segmentsOf(id) }))
        for (const id of ['22', '92']) await store.deleteFile({ project_id, id, now })
        const share = { from: '00', to: '80' }
        expect(await sweep(store, { share })).toEqual(['20', '22', '90'])
        expect(await sweep(store, { server_id: 'server_2', share })).toEqual([
          '20',
          '21',
          '22',
          '91',
        ])
        expect(
          await sweep(store, { server_id: 'server_3', share: { from: '80', to: '~' } }),
        ).toEqual([...['90', '91', '92']])
      })
    })

    describe('a file', () => {
      it('is found and listed as it was added, with its segments in order', async () => {
        const file = newFile('f1', {
          purpose: 'user_data',
          filename: 'né 中.txt',
          bytes: 30,
          sha256: 'ab'.repeat(32),
          encoding: 'utf-8',
          created_at: now - 5,
          expires_at: now + 5,
          segments: [
            { blob_id: 'z', bytes: 10, checksums: Uint8Array.of(1, 2, 3, 4) },
            { blob_id: 'a', bytes: 20, checksums: Uint8Array.of(255, 0, 0, 0) },
            { blob_id: 'm', bytes: 0, checksums: new Uint8Array() },
          ],
        })
        await loosen(store, ['a', 'm', 'z'])
        expect(await store.addFile({ file, quota_bytes: 30 })).toBe('added')
        expect(await store.findFile({ project_id, id: 'f1', now })).toEqual(rowOf(file))
        expect(await list(store)).toEqual([rowOf(file)])
        expect(await store.listSegments({ project_id, file_id: 'f1' })).toEqual(file.segments)
      })

      it('counts its bytes, whatever their number, as used', async () => {
        const bytes = 8_000_000_000_000
        await add(store, newFile('f1', { bytes }))
        await add(store, newFile('f2', { bytes: 0 }))
        expect(await used(store)).toBe(bytes)
        expect(await store.findFile({ project_id, id: 'f1', now })).toMatchObject({ bytes })
      })

      it('makes its blobs held, so that nothing takes them', async () => {
        await add(store, newFile('f1', { segments: segmentsOf('a', 'b') }))
        expect(await store.takeLooseBlob({ blob_id: 'a' })).toBe(false)
        expect(await takeAll(store)).toEqual([])
      })

      it('is not found by the id of another project', async () => {
        await add(store, newFile('f1'))
        const elsewhere = { project_id: 'proj_other', now }
        expect(await store.findFile({ ...elsewhere, id: 'f1' })).toBe(undefined)
        expect(await store.findFilePosition({ ...elsewhere, id: 'f1' })).toBe(undefined)
        expect(await store.listSegments({ ...elsewhere, file_id: 'f1' })).toEqual([])
        expect(await store.listFiles({ ...elsewhere, order: 'asc', limit: 10 })).toEqual([])
        expect(await store.deleteFile({ ...elsewhere, id: 'f1' })).toBe(undefined)
        expect(await store.findFile({ project_id, id: 'f1', now })).toMatchObject({ id: 'f1' })

        await store.deleteFile({ project_id, id: 'f1', now })
        expect(await store.findFilePosition({ ...elsewhere, id: 'f1' })).toBe(undefined)
      })

      it('is not found by an id that cannot be', async () => {
        await add(store, newFile('f1'))
        const asked = { project_id, id: 'f1\0', now }
        expect(await store.findFile(asked)).toBe(undefined)
        expect(await store.findFilePosition(asked)).toBe(undefined)
        expect(await store.deleteFile(asked)).toBe(undefined)
      })

      it('is gone from the second of its expiry for all but its place in the list', async () => {
        await add(store, newFile('f1', { expires_at: now }))
        expect(await store.findFile({ project_id, id: 'f1', now: now - 1 })).toMatchObject({
          id: 'f1',
        })
        expect(await store.findFile({ project_id, id: 'f1', now })).toBe(undefined)
        expect(await list(store, { now: now - 1 })).toHaveLength(1)
        expect(await list(store, { now })).toEqual([])
        expect(await store.deleteFile({ project_id, id: 'f1', now })).toBe(undefined)
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toBeDefined()
      })
    })

    describe('adding a file', () => {
      it('never exceeds the quota, and reaches it exactly', async () => {
        const quota_bytes = 1000
        const files = Array.from({ length: 64 }, (_, at) => newFile(`f${at}`, { bytes: 100 }))
        await Promise.all(files.map(({ segments }) => loosen(store, blobsOf(segments))))
        const outcomes = await Promise.all(
          files.map((file) => store.addFile({ file, quota_bytes })),
        )
        expect(outcomes.filter((outcome) => outcome === 'added')).toHaveLength(10)
        expect(outcomes.filter((outcome) => outcome === 'quota-exceeded')).toHaveLength(54)
        expect(await list(store)).toHaveLength(10)
        expect(await used(store)).toBe(1000)
      })

      it('takes a file that fills the quota, and then only one without bytes', async () => {
        const outcomes: string[] = []
        for (const [id, bytes] of [
          ['f1', 100],
          ['f2', 1],
          ['f3', 0],
        ] as const) {
          await loosen(store, [`blob-${id}`])
          outcomes.push(await store.addFile({ file: newFile(id, { bytes }), quota_bytes: 100 }))
        }
        expect(outcomes).toEqual(['added', 'quota-exceeded', 'added'])
      })

      it('has room again for what was deleted', async () => {
        await add(store, newFile('f1', { bytes: 60 }), 100)
        await loosen(store, ['blob-f2'])
        const second = { file: newFile('f2', { bytes: 60 }), quota_bytes: 100 }
        expect(await store.addFile(second)).toBe('quota-exceeded')
        await store.deleteFile({ project_id, id: 'f1', now })
        expect(await store.addFile(second)).toBe('added')
        expect(await used(store)).toBe(60)
      })

      it('changes nothing when the quota is exceeded', async () => {
        await loosen(store, ['a', 'b'])
        const file = newFile('f1', { bytes: 11, segments: segmentsOf('a', 'b') })
        expect(await store.addFile({ file, quota_bytes: 10 })).toBe('quota-exceeded')
        await expectUnchanged(store, { loose: ['a', 'b'] })
      })

      it('changes nothing when the sweep took one of its blobs', async () => {
        await loosen(store, ['a', 'b', 'c'])
        await store.takeLooseBlob({ blob_id: 'b' })
        const file = newFile('f1', { bytes: 30, segments: segmentsOf('a', 'b', 'c') })
        expect(await store.addFile({ file, quota_bytes: 100 })).toBe('blob-swept')
        await expectUnchanged(store, { loose: ['a', 'b', 'c'] })
      })

      it('changes nothing when one of its blobs is gone', async () => {
        await loosen(store, ['a'])
        const file = newFile('f1', { bytes: 20, segments: segmentsOf('a', 'gone') })
        expect(await store.addFile({ file, quota_bytes: 100 })).toBe('blob-swept')
        await expectUnchanged(store, { loose: ['a'] })
      })

      it('changes nothing when one of its blobs is held by another file', async () => {
        await add(store, newFile('f0', { bytes: 5, segments: segmentsOf('held') }))
        await loosen(store, ['a'])
        const file = newFile('f1', { bytes: 20, segments: segmentsOf('a', 'held') })
        expect(await store.addFile({ file, quota_bytes: 100 })).toBe('blob-swept')
        expect(await used(store)).toBe(5)
        expect(await takeAll(store)).toEqual(['a'])
      })

      it.each<[string, Partial<NewFile>]>([
        ['its id is taken', { id: 'f0' }],
        [
          'its last segment is refused',
          { segments: [...segmentsOf('a'), { ...segmentB, bytes: -1 }] },
        ],
        ['its project does not exist', { project_id: 'proj_none' }],
        ['its encoding is unknown', { encoding: 'latin1' as 'binary' }],
      ])('changes nothing when it fails because %s', async (_, fault) => {
        await add(store, newFile('f0', { bytes: 5 }))
        await loosen(store, ['a', 'b'])
        const file = newFile('f1', { bytes: 20, segments: segmentsOf('a', 'b'), ...fault })
        await expect(store.addFile({ file, quota_bytes: 100 })).rejects.toThrow()
        expect(await used(store)).toBe(5)
        expect((await list(store)).map(({ id }) => id)).toEqual(['f0'])
        expect(await takeAll(store)).toEqual(['a', 'b'])
      })

      it('leaves its blobs to another try when it failed', async () => {
        await loosen(store, ['a'])
        const swept = newFile('f1', { segments: segmentsOf('a', 'gone') })
        await store.addFile({ file: swept, quota_bytes: 100 })
        const file = newFile('f2', { bytes: 7, segments: segmentsOf('a') })
        expect(await store.addFile({ file, quota_bytes: 100 })).toBe('added')
        expect(await used(store)).toBe(7)
      })
    })

    describe('a list', () => {
      it('is ordered by time and then by when files were added, both ways', async () => {
        for (const [id, created_at] of [
          ['f1', 20],
          ['f2', 10],
          ['f3', 20],
          ['f4', 10],
        ] as const) {
          await add(store, newFile(id, { created_at }))
        }
        const ids = async (order: 'asc' | 'desc') =>
          (await list(store, { order })).map(({ id }) => id)
        expect(await ids('asc')).toEqual(['f2', 'f4', 'f1', 'f3'])
        expect(await ids('desc')).toEqual(['f3', 'f1', 'f4', 'f2'])
      })

      it('is right on every page while files come and go', async () => {
        await fc.assert(
          fc.asyncProperty(walks, async ({ before, between, query }) => {
            const model = createListModel(store)
            for (const change of before) await model.apply(change)
            await expectWalk(model, query, between)
            await empty(store)
          }),
          { numRuns: 100 },
        )
      })
    })

    describe('the position of a file', () => {
      it('is remembered after the file was deleted, until that is forgotten', async () => {
        await add(store, newFile('f1', { created_at: 10 }))
        const position = await store.findFilePosition({ project_id, id: 'f1' })
        expect(position).toEqual({ created_at: 10, sequence: expect.any(Number) })
        await store.deleteFile({ project_id, id: 'f1', now: 500 })
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toEqual(position)
        expect(await store.forgetDeletedFiles({ deleted_before: 500, limit: 2 })).toBe(0)
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toEqual(position)
        expect(await store.forgetDeletedFiles({ deleted_before: 501, limit: 2 })).toBe(1)
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toBe(undefined)
      })

      it('is never given to another file', async () => {
        const positions = new Set<number>()
        for (let at = 0; at < 5; at += 1) {
          await add(store, newFile(`f${at}`))
          const position = await store.findFilePosition({ project_id, id: `f${at}` })
          positions.add(position?.sequence ?? 0)
          await store.deleteFile({ project_id, id: `f${at}`, now })
        }
        expect(positions.size).toBe(5)
      })

      it('is unknown for a file that never was', async () => {
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toBe(undefined)
      })
    })

    describe('deleting a file', () => {
      it('gives its blobs, which are taken, and its bytes back', async () => {
        await add(store, newFile('f0', { bytes: 5 }))
        await add(store, newFile('f1', { bytes: 20, segments: segmentsOf('a', 'b') }))
        const loose = await store.deleteFile({ project_id, id: 'f1', now })
        expect(loose?.sort()).toEqual(['a', 'b'])
        expect(await store.findFile({ project_id, id: 'f1', now })).toBe(undefined)
        expect(await store.listSegments({ project_id, file_id: 'f1' })).toEqual([])
        expect((await list(store)).map(({ id }) => id)).toEqual(['f0'])
        expect(await used(store)).toBe(5)

        const again = newFile('f2', { segments: segmentsOf('a') })
        expect(await store.addFile({ file: again, quota_bytes: 100 })).toBe('blob-swept')
        expect(await sweep(store, { now: 0 })).toEqual(['a', 'b'])
      })

      it('succeeds once, and gives nothing for a file that is not there', async () => {
        await add(store, newFile('f1', { bytes: 20 }))
        const twice = await Promise.all([
          store.deleteFile({ project_id, id: 'f1', now }),
          store.deleteFile({ project_id, id: 'f1', now }),
        ])
        expect(twice).toEqual([['blob-f1'], undefined])
        expect(await store.deleteFile({ project_id, id: 'f1', now })).toBe(undefined)
        expect(await store.deleteFile({ project_id, id: 'never', now })).toBe(undefined)
        expect(await used(store)).toBe(0)
      })
    })

    describe('deleting the expired files', () => {
      it('takes those whose time has come, the oldest first and as many as asked', async () => {
        for (const [id, expires_at] of [
          ['f1', now - 1],
          ['f2', now],
          ['f3', now - 2],
          ['f4', now + 1],
          ['f5', null],
        ] as const) {
          await add(store, newFile(id, { bytes: 10, expires_at }))
        }
        expect(await store.deleteExpiredFiles({ now, limit: 2 })).toBe(2)
        expect(await takeAll(store)).toEqual(['blob-f1', 'blob-f3'])
        expect(await store.deleteExpiredFiles({ now, limit: 2 })).toBe(1)
        expect(await store.deleteExpiredFiles({ now, limit: 2 })).toBe(0)
        expect(await takeAll(store)).toEqual(['blob-f1', 'blob-f2', 'blob-f3'])
        expect((await list(store)).map(({ id }) => id)).toEqual(['f4', 'f5'])
        expect(await used(store)).toBe(20)
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toBeDefined()
      })
    })

    describe('a loose blob', () => {
      it('is left alone until its time and then taken, in the order of ids', async () => {
        await store.addLooseBlobs({ ...listed, blob_ids: ['c'], sweep_after: now })
        await store.addLooseBlobs({ ...listed, blob_ids: ['a'], sweep_after: now - 1 })
        await store.addLooseBlobs({ ...listed, blob_ids: ['b'], sweep_after: now + 1 })
        expect(await sweep(store, { now })).toEqual(['a', 'c'])
      })

      it('is taken page by page', async () => {
        const ids = Array.from({ length: 7 }, (_, at) => `blob-${at}`)
        await loosen(store, ids.toReversed())
        const pages: string[][] = []
        for (let after_id = ''; ; after_id = pages.at(-1)?.at(-1) ?? '') {
          const page = await sweep(store, { after_id, limit: 3 })
          if (page.length === 0) break
          pages.push(page)
        }
        expect(pages).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)])
      })

      it('that was taken is taken again until it is forgotten', async () => {
        await loosen(store, ['a', 'b'])
        expect(await takeAll(store)).toEqual(['a', 'b'])
        await store.forgetLooseBlob({ blob_id: 'a' })
        expect(await sweep(store, { now: 0 })).toEqual(['b'])
      })

      it('that was taken by the sweep cannot be held', async () => {
        await loosen(store, ['blob-f1'])
        await takeAll(store)
        const outcome = await store.addFile({ file: newFile('f1'), quota_bytes: 100 })
        expect(outcome).toBe('blob-swept')
      })

      it('that was taken by name cannot be held', async () => {
        await loosen(store, ['blob-f1'])
        expect(await store.takeLooseBlob({ blob_id: 'blob-f1' })).toBe(true)
        const outcome = await store.addFile({ file: newFile('f1'), quota_bytes: 100 })
        expect(outcome).toBe('blob-swept')
      })

      it('goes to a file or to who discards it, never to both', async () => {
        for (let round = 0; round < 20; round += 1) {
          const file = newFile(`f${round}`)
          const blob_id = `blob-f${round}`
          await loosen(store, [blob_id])
          const calls = [
            () => store.addFile({ file, quota_bytes: farAway }).then((value) => value === 'added'),
            () => store.takeLooseBlob({ blob_id }),
          ]
          if (round % 2 === 1) calls.reverse()
          const outcomes = await Promise.all(calls.map((call) => call()))
          expect(outcomes).toEqual([true, false])
        }
      })

      it('cannot be taken where it is held, forgotten or unknown', async () => {
        await add(store, newFile('f1', { segments: segmentsOf('held') }))
        await loosen(store, ['gone'])
        await store.takeLooseBlob({ blob_id: 'gone' })
        await store.forgetLooseBlob({ blob_id: 'gone' })
        for (const blob_id of ['held', 'gone', 'unknown']) {
          expect(await store.takeLooseBlob({ blob_id }), blob_id).toBe(false)
        }
      })

      it('is forgotten only if it was taken', async () => {
        await loosen(store, ['a'])
        await store.forgetLooseBlob({ blob_id: 'a' })
        await store.forgetLooseBlob({ blob_id: 'unknown' })
        expect(await store.takeLooseBlob({ blob_id: 'a' })).toBe(true)
      })

      it('has an id that is not listed twice', async () => {
        await loosen(store, ['a'])
        await expect(
          store.addLooseBlobs({ ...listed, blob_ids: ['a'], sweep_after: farAway }),
        ).rejects.toThrow()
      })
    })

    describe('the owner', () => {
      it('is made once, with nothing used', async () => {
        await using opened = await open()
        const { store } = opened
        expect(await store.ensureOwner({ ...owner, now })).toEqual(owner)
        const other = { organization_id: 'org-2', project_id: 'proj_2', now }
        expect(await store.ensureOwner(other)).toEqual(owner)
        expect(await used(store)).toBe(0)
        await expect(store.findUsedBytes({ organization_id: 'org-2' })).rejects.toThrow()
      })

      it('is made once by many at a time', async () => {
        await using opened = await open()
        const owners = await Promise.all(
          [1, 2, 3].map((at) =>
            opened.store.ensureOwner({
              organization_id: `org-${at}`,
              project_id: `proj_${at}`,
              now,
            }),
          ),
        )
        const first = { organization_id: 'org-1', project_id: 'proj_1' }
        expect(owners).toEqual([first, first, first])
      })
    })

    describe('an API key', () => {
      it('belongs to its owner', async () => {
        await using opened = await openOwned()
        const { store } = opened
        await store.setApiKey({ ...owner, id: 'key_1', name: 'One', digest: 'd1', now })
        expect(await store.findKeyOwner({ digest: 'd1' })).toEqual(owner)
        expect(await store.findKeyOwner({ digest: 'D1' })).toBe(undefined)
        expect(await store.findKeyOwner({ digest: '' })).toBe(undefined)
      })

      it('is the first of its project only once', async () => {
        await using opened = await openOwned()
        const { store } = opened
        const added = await Promise.all(
          ['d1', 'd2'].map((digest) =>
            store.addFirstApiKey({ ...owner, id: `key_${digest}`, name: 'First', digest, now }),
          ),
        )
        expect(added).toEqual([true, false])
        expect(await store.findKeyOwner({ digest: 'd1' })).toEqual(owner)
        expect(await store.findKeyOwner({ digest: 'd2' })).toBe(undefined)
      })

      it('replaces all former ones of its project', async () => {
        await using opened = await openOwned()
        const { store } = opened
        await store.setApiKey({ ...owner, id: 'key_1', name: 'One', digest: 'd1', now })
        await store.setApiKey({ ...owner, id: 'key_2', name: 'Two', digest: 'd2', now })
        await store.setApiKey({ ...owner, id: 'key_3', name: 'One', digest: 'd3', now })
        expect(await store.findKeyOwner({ digest: 'd1' })).toBe(undefined)
        expect(await store.findKeyOwner({ digest: 'd2' })).toBe(undefined)
        expect(await store.findKeyOwner({ digest: 'd3' })).toEqual(owner)
      })

      it('may be set again, also under another name', async () => {
        await using opened = await openOwned()
        const { store } = opened
        await store.setApiKey({ ...owner, id: 'key_1', name: 'One', digest: 'd1', now })
        await store.setApiKey({ ...owner, id: 'key_2', name: 'One', digest: 'd1', now })
        await store.setApiKey({ ...owner, id: 'key_3', name: 'Two', digest: 'd1', now })
        expect(await store.findKeyOwner({ digest: 'd1' })).toEqual(owner)
        await store.setApiKey({ ...owner, id: 'key_4', name: 'Two', digest: 'd2', now })
        expect(await store.findKeyOwner({ digest: 'd1' })).toBe(undefined)
      })
    })

    describe('calls', () => {
      it('all come through when many are made at a time', async () => {
        const ids = Array.from({ length: 1000 }, (_, at) => `blob-${String(at).padStart(4, '0')}`)
        await loosen(store, ids)
        expect(await takeAll(store)).toEqual(ids)
      })

      it('do not suffer from one among them that fails', async () => {
        await loosen(store, ['taken'])
        const ids = ['a', 'b', 'taken', 'c', 'd']
        const outcomes = await Promise.allSettled(
          ids.map((blob_id) =>
            store.addLooseBlobs({ ...listed, blob_ids: [blob_id], sweep_after: farAway }),
          ),
        )
        expect(outcomes.map(({ status }) => status)).toEqual([
          'fulfilled',
          'fulfilled',
          'rejected',
          'fulfilled',
          'fulfilled',
        ])
        expect(await takeAll(store)).toEqual(['a', 'b', 'c', 'd', 'taken'])
      })

      it('take effect in the order in which they are made', async () => {
        const [, outcome, , taken] = await Promise.all([
          store.addLooseBlobs({ ...listed, blob_ids: ['blob-f1'], sweep_after: farAway }),
          store.addFile({ file: newFile('f1'), quota_bytes: 100 }),
          store.deleteFile({ project_id, id: 'f1', now }),
          sweep(store, { now }),
        ])
        expect([outcome, taken]).toEqual(['added', ['blob-f1']])
      })

      it('see what was committed before them', async () => {
        for (let at = 0; at < 50; at += 1) {
          await add(store, newFile(`f${at}`))
          expect(await store.findFile({ project_id, id: `f${at}`, now })).toBeDefined()
        }
        expect(await list(store)).toHaveLength(50)
      })

      it('fail with an error that tells why', async () => {
        await loosen(store, ['a'])
        const again = store.addLooseBlobs({ ...listed, blob_ids: ['a'], sweep_after: now })
        await expect(again).rejects.toThrow(/unique/i)
      })
    })

    describe('a check', () => {
      it('succeeds, and changes nothing', async () => {
        await add(store, newFile('f1'))
        await store.deleteFile({ project_id, id: 'f1', now: 0 })
        expect(await store.check()).toBe(undefined)
        expect(await store.findFilePosition({ project_id, id: 'f1' })).toBeDefined()
      })
    })

    describe('closing', () => {
      it('waits for the calls that were begun', async () => {
        await using opened = await openOwned()
        const { store } = opened
        await store.findKeyOwner({ digest: 'd1' })
        const begun = [
          store.addLooseBlobs({ ...listed, blob_ids: ['a'], sweep_after: now }),
          store.findKeyOwner({ digest: 'd1' }),
          store.findUsedBytes(owner),
          store.check(),
        ]
        const outcomes = Promise.allSettled(begun)
        await store.close()
        expect((await outcomes).map(({ status }) => status)).toEqual(
          Array.from(begun, () => 'fulfilled'),
        )
      })

      it('refuses the calls that come after it', async () => {
        await using opened = await openOwned()
        const { store } = opened
        await store.findUsedBytes(owner)
        await store.close()
        for (const call of [
          store.addLooseBlobs({ ...listed, blob_ids: ['a'], sweep_after: now }),
          store.findUsedBytes(owner),
          store.check(),
        ]) {
          await expect(call).rejects.toThrow('The metadata store is closed.')
        }
      })

      it('refuses the calls that come while it goes on', async () => {
        await using opened = await openOwned()
        const { store } = opened
        const begun = store.check()
        const closing = store.close()
        const late = [store.check(), store.findKeyOwner({ digest: 'd1' })]
        const outcomes = Promise.allSettled(late)
        await closing
        await begun
        expect(await outcomes).toMatchObject([
          { status: 'rejected', reason: { message: 'The metadata store is closed.' } },
          { status: 'rejected', reason: { message: 'The metadata store is closed.' } },
        ])
      })

      it('may be repeated', async () => {
        await using opened = await openOwned()
        const { store } = opened
        await Promise.all([store.close(), store.close()])
        await store.close()
      })
    })
  })
}

const owner = { organization_id: 'org-1', project_id: 'proj_1' }
const { project_id } = owner
const now = 1_700_000_000
const farAway = 4_000_000_000
const segmentB = { blob_id: 'b', bytes: 10, checksums: new Uint8Array() }

/** A file of the blob `blob-ID`, unless told otherwise. */
function newFile(id: string, differences: Partial<NewFile> = {}): NewFile {
  const bytes = differences.bytes ?? 1
  return {
    id,
    ...owner,
    purpose: 'batch',
    filename: `${id}.jsonl`,
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

function segmentsOf(...blobs: string[]): NewFile['segments'] {
  return blobs.map((blob_id) => ({ blob_id, bytes: 10, checksums: new Uint8Array() }))
}

function blobsOf(segments: NewFile['segments']): string[] {
  return segments.map(({ blob_id }) => blob_id)
}

function rowOf({ segments, organization_id, project_id, ...row }: NewFile): FileRow {
  return { ...row, damaged_at: null }
}

/** Who lists a blob as loose, where that does not matter. */
const listed = { server_id: 'server_1' }

async function loosen(
  store: MetadataStore,
  blobs: readonly string[],
  server_id = listed.server_id,
): Promise<void> {
  const sweep_after = farAway - 1
  await Promise.all(
    blobs.map((id) => store.addLooseBlobs({ blob_ids: [id], sweep_after, server_id })),
  )
}

/** Sweeps, as the only server if nothing else is said. */
function sweep(store: MetadataStore, options: Partial<TakeSweepableBlobs>): Promise<string[]> {
  const all = {
    ...{ share: { from: '', to: '~' }, after_id: '', limit: 10_000 },
    ...{ restored_before: farAway, history: null },
  }
  return store.takeSweepableBlobs({ ...listed, now: farAway, ...all, ...options })
}

async function sign(store: MetadataStore, id: string): Promise<ServerRow> {
  const servers = await store.renewServer({ id })
  const server = servers.find((row) => row.id === id)
  if (server === undefined) throw new Error(`There is no ${id}.`)
  return server
}

async function add(store: MetadataStore, file: NewFile, quota_bytes = 1e15): Promise<void> {
  // In one turn, for that is one commit.
  const loose = loosen(store, blobsOf(file.segments))
  const [outcome] = await Promise.all([store.addFile({ file, quota_bytes }), loose])
  expect(outcome).toBe('added')
}

function list(store: MetadataStore, query: Partial<ListFiles> = {}): Promise<FileRow[]> {
  return store.listFiles({ project_id, now, order: 'asc', limit: 1000, ...query })
}

function used(store: MetadataStore): Promise<number> {
  return store.findUsedBytes(owner)
}

/** The loose blobs, which are taken by this. */
function takeAll(store: MetadataStore): Promise<string[]> {
  return sweep(store, {})
}

/** Leaves nothing but the owner and its keys. */
async function empty(store: MetadataStore): Promise<void> {
  const none = { blob_ids: [], now, second_look_seconds: 0, quarantine_seconds: 0 }
  await store.noteOrphans({ ...none, prefix: 'aa' })
  const files = await list(store, { now: 0 })
  await Promise.all(files.map(({ id }) => store.deleteFile({ project_id, id, now: 0 })))
  for (const server of await store.renewServer({ id: 'server_1' })) await store.forgetServer(server)
  const loose = await takeAll(store)
  await Promise.all(loose.map((blob_id) => store.forgetLooseBlob({ blob_id })))
  await store.forgetDeletedFiles({ deleted_before: farAway, limit: 10_000 })
}

/** No file, nothing used, and the blobs as loose as before. */
async function expectUnchanged(store: MetadataStore, { loose }: { loose: string[] }) {
  expect(await used(store)).toBe(0)
  expect(await list(store)).toEqual([])
  expect(await store.findFilePosition({ project_id, id: 'f1' })).toBe(undefined)
  expect(await takeAll(store)).toEqual(loose)
}

interface ListQuery {
  readonly order: 'asc' | 'desc'
  readonly limit: number
  readonly purpose: string | undefined
}

type Change =
  | { readonly do: 'add'; created_at: number; purpose: string; lifetime: number | null }
  /** Deletes the file at this place among all, counted round. */
  | { readonly do: 'delete'; place: number }
  | { readonly do: 'delete last seen' }
  | { readonly do: 'wait a second' }
  | { readonly do: 'sweep' }

const additions = fc.record({
  do: fc.constant('add' as const),
  // Few times, so that many files are of the same second.
  created_at: fc.integer({ min: 1, max: 4 }),
  purpose: fc.constantFrom('batch', 'vision'),
  lifetime: fc.option(fc.integer({ min: 1, max: 6 }), { freq: 2 }),
})

const changes = fc.oneof<fc.WeightedArbitrary<Change>[]>(
  { weight: 3, arbitrary: additions },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), place: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.constant({ do: 'delete last seen' }) },
  { weight: 1, arbitrary: fc.constant({ do: 'wait a second' }) },
  { weight: 1, arbitrary: fc.constant({ do: 'sweep' }) },
)

const walks = fc.record({
  before: fc.array(
    fc.oneof({ weight: 5, arbitrary: additions }, { weight: 1, arbitrary: changes }),
    { maxLength: 20 },
  ),
  /** What happens behind the first page, the second and so on. */
  between: fc.array(fc.array(changes, { maxLength: 3 }), { maxLength: 8 }),
  query: fc.record({
    order: fc.constantFrom('asc' as const, 'desc' as const),
    limit: fc.integer({ min: 1, max: 6 }),
    purpose: fc.constantFrom(undefined, 'batch'),
  }),
})

/** Across all models, as the id of a file is never used again. */
let modelFiles = 0

/** The files of a store as an array, changed together with the store. */
function createListModel(store: MetadataStore) {
  let rows: FileRow[] = []
  let time = 0

  const isVisible = ({ expires_at }: FileRow) => expires_at === null || expires_at > time

  async function addFile({ created_at, purpose, lifetime }: Change & { do: 'add' }) {
    modelFiles += 1
    const expires_at = lifetime === null ? null : time + lifetime
    const file = newFile(`m${modelFiles}`, { created_at, purpose, expires_at })
    await add(store, file)
    rows.push(rowOf(file))
  }

  async function deleteFile(id: string | undefined) {
    if (id === undefined) return
    await store.deleteFile({ project_id, id, now: time })
    rows = rows.filter((row) => row.id !== id || !isVisible(row))
  }

  return {
    async apply(change: Change, lastSeen?: string): Promise<void> {
      switch (change.do) {
        case 'add':
          return addFile(change)
        case 'delete':
          return deleteFile(rows[change.place % rows.length]?.id)
        case 'delete last seen':
          return deleteFile(lastSeen)
        case 'wait a second':
          time += 1
          return
        case 'sweep':
          await store.deleteExpiredFiles({ now: time, limit: 1000 })
          rows = rows.filter(isVisible)
          return
        default:
          return change satisfies never
      }
    },

    /** The whole list as it is now. */
    list({ order, purpose }: ListQuery): FileRow[] {
      const listed = rows
        .filter((row) => isVisible(row) && (purpose ?? row.purpose) === row.purpose)
        // Those of the same second stay in the order in which they were added.
        .sort((one, other) => one.created_at - other.created_at)
      return order === 'asc' ? listed : listed.reverse()
    },

    /** The page of the store that begins behind a file. */
    async page(query: ListQuery, lastSeen: string | undefined): Promise<FileRow[]> {
      if (lastSeen === undefined) return store.listFiles({ ...query, project_id, now: time })
      const after = await store.findFilePosition({ project_id, id: lastSeen })
      expect(after, `the position of ${lastSeen}`).toBeDefined()
      return store.listFiles({ ...query, project_id, now: time, after })
    },
  }
}

/**
 * Walks through the list page by page while it changes: what is there from the first page to the
 * last is seen, nothing is seen twice, and what is seen is on the list then, in its order.
 */
async function expectWalk(
  model: ReturnType<typeof createListModel>,
  query: ListQuery,
  between: readonly (readonly Change[])[],
): Promise<void> {
  const seen: string[] = []
  let always = new Set(model.list(query).map(({ id }) => id))
  for (let pages = 0; ; pages += 1) {
    const page = await model.page(query, seen.at(-1))
    const listed = model.list(query)
    expect(page).toEqual(listed.filter((row) => page.some(({ id }) => id === row.id)))
    seen.push(...page.map(({ id }) => id))
    always = always.intersection(new Set(listed.map(({ id }) => id)))
    if (page.length < query.limit) break
    for (const change of between[pages] ?? []) await model.apply(change, seen.at(-1))
  }
  expect(seen).toHaveLength(new Set(seen).size)
  expect(seen).toEqual(expect.arrayContaining([...always]))
}
