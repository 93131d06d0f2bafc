/** What every metadata store must do with Uploads and their parts. */

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { MetadataStore } from './metadata-store.ts'
import type { NewUpload, PartRow } from './uploads.ts'

export interface OpenStore extends AsyncDisposable {
  readonly store: MetadataStore
}

export function describeUploads(name: string, open: () => Promise<OpenStore>): void {
  describe(`Uploads of ${name}`, () => {
    let opened: OpenStore
    let store: MetadataStore
    let count = 0
    /** Of an Upload that no other test knows. */
    let id: string

    beforeAll(async () => {
      opened = await open()
      store = opened.store
      await store.ensureOwner({ ...owner, now })
    })
    afterAll(() => opened[Symbol.asyncDispose]())
    beforeEach(() => {
      count += 1
      id = `upload_${count}`
    })

    const begin = (differences: Partial<NewUpload> = {}, quota_bytes = 1e15) =>
      store.addUpload({ upload: { ...upload(id), ...differences }, quota_bytes })

    /** Adds a part with its blob; both are named after the Upload. */
    async function add(part: string, bytes = 10, { time = now, offset }: Place = {}) {
      const blob_id = `${id}-${part}`
      await store.addLooseBlobs({
        blob_ids: [blob_id],
        sweep_after: now + 100,
        server_id: 'server_1',
      })
      const row = newPart(blob_id, bytes)
      return store.addPart({ project_id, id, part: row, offset, most_parts, now: time })
    }
    const complete = (...parts: string[]) =>
      store.completeUpload({
        ...{ project_id, id, part_ids: parts.map((part) => `${id}-${part}`), now },
        file: { ...file, id: `file-${id}` },
      })
    const used = () => store.findUsedBytes(owner)

    it('are found as they were added, by their own project only', async () => {
      expect(await begin({ lifetime: 7200 })).toBe('added')
      const { organization_id, project_id: _, mime_type, ...row } = upload(id)
      expect(await store.findUpload({ project_id, id })).toEqual({
        ...{ ...row, lifetime: 7200, status: 'pending', file_id: null, part_ids: null },
        arrived_bytes: 0,
      })
      expect(await store.findUpload({ project_id: 'proj_other', id })).toBe(undefined)
      await add('a')
      expect(await store.listParts({ project_id: 'proj_other', id })).toEqual([])
      expect(await store.hasPart({ project_id: 'proj_other', id, part_id: `${id}-a` })).toBe(false)
      expect(await store.cancelUpload({ project_id: 'proj_other', id, now })).toBe(undefined)
    })

    it('have only so many parts', async () => {
      await begin()
      for (const part of ['a', 'b', 'c', 'd', 'e']) {
        expect(await add(part, 1)).toEqual({ outcome: 'added' })
      }
      expect(await add('f', 1)).toEqual({ outcome: 'too-many-parts' })
    })

    it('grow at an offset, by parts that may be the same', async () => {
      await begin()
      const arrived = async () => (await store.findUpload({ project_id, id }))?.arrived_bytes
      expect(await arrived()).toBe(0)
      expect(await add('a', 4, { offset: 4 })).toEqual({ outcome: 'elsewhere' })
      for (const offset of [0, 4]) {
        const blob_id = `${id}-at-${offset}`
        await store.addLooseBlobs({
          blob_ids: [blob_id],
          sweep_after: now + 100,
          server_id: 'server_1',
        })
        const part = { ...newPart(blob_id, 4), sha256: 'the same' }
        expect(await store.addPart({ project_id, id, part, offset, most_parts, now })).toEqual({
          outcome: 'added',
        })
      }
      expect(await arrived()).toBe(8)
      expect(await add('b', 2, { offset: 4 })).toEqual({ outcome: 'elsewhere' })
      expect(await add('c', 3, { offset: 8 })).toEqual({ outcome: 'too-many-bytes' })
    })

    it('count their bytes from the beginning, within the quota', async () => {
      const before = await used()
      expect(await begin({ bytes: 100 }, before + 99)).toBe('quota-exceeded')
      expect(await store.findUpload({ project_id, id })).toBe(undefined)
      expect(await begin({ bytes: 100 }, before + 100)).toBe('added')
      expect(await used()).toBe(before + 100)
      await store.cancelUpload({ project_id, id, now })
      expect(await used()).toBe(before)
    })

    it('have their parts in the order in which they came, a page at a time', async () => {
      await begin({ bytes: 40 })
      for (const part of ['d', 'a', 'c', 'b']) expect(await add(part)).toEqual({ outcome: 'added' })
      const list = async (query = {}) =>
        (await store.listParts({ project_id, id, ...query })).map((part) => part.id.slice(-1))
      expect(await list()).toEqual(['d', 'a', 'c', 'b'])
      expect(await list({ limit: 2 })).toEqual(['d', 'a'])
      expect(await list({ limit: 2, after: `${id}-a` })).toEqual(['c', 'b'])
      const [first] = await store.listParts({ project_id, id, limit: 1 })
      const { sequence: _, ...part } = first ?? { sequence: 0 }
      expect(part).toEqual(newPart(`${id}-d`, 10))
    })

    it('hold the blobs of their parts', async () => {
      await begin()
      await add('a')
      expect(await store.takeLooseBlob({ blob_id: `${id}-a` })).toBe(false)
      expect(await store.findUnknownBlobs({ blob_ids: [`${id}-a`] })).toEqual([])
    })

    it('take no part whose blob was swept', async () => {
      await begin()
      const part = newPart(`${id}-a`, 10)
      expect(await store.addPart({ project_id, id, part, most_parts, now })).toBe('blob-swept')
      expect(await store.listParts({ project_id, id })).toEqual([])
    })

    it('know a part again by its bytes, and leave the blob of the other loose', async () => {
      await begin({ bytes: 20 })
      await add('a')
      const blob_id = `${id}-again`
      await store.addLooseBlobs({
        blob_ids: [blob_id],
        sweep_after: now + 100,
        server_id: 'server_1',
      })
      const part = { ...newPart(blob_id, 10), sha256: newPart(`${id}-a`, 10).sha256 }
      expect(await store.addPart({ project_id, id, part, most_parts, now })).toEqual({
        ...{ outcome: 'known', id: `${id}-a`, created_at: now },
      })
      expect(await store.takeLooseBlob({ blob_id })).toBe(true)
    })

    it('never have parts with more bytes together than they have themselves', async () => {
      await begin({ bytes: 30 })
      const outcomes = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((part) => add(part)))
      expect(outcomes.map((outcome) => (outcome as { outcome: string }).outcome).sort()).toEqual([
        ...['added', 'added', 'added', 'too-many-bytes', 'too-many-bytes'],
      ])
    })

    it('become a file of their parts, and free the others', async () => {
      await begin({ bytes: 30, filename: 'whole.bin', purpose: 'vision' })
      const before = await used()
      for (const part of ['a', 'b', 'c']) await add(part)
      expect(await complete('c', 'a', 'c')).toEqual({ outcome: 'completed', loose: [`${id}-b`] })
      expect(await used()).toBe(before)
      expect(await store.findUpload({ project_id, id })).toMatchObject({
        ...{ status: 'completed', file_id: `file-${id}` },
        part_ids: JSON.stringify([`${id}-c`, `${id}-a`, `${id}-c`]),
      })
      const found = await store.findFile({ project_id, id: `file-${id}`, now })
      expect(found).toMatchObject({ bytes: 30, filename: 'whole.bin', purpose: 'vision' })
      const segments = await store.listSegments({ project_id, file_id: `file-${id}` })
      expect(segments.map(({ blob_id }) => blob_id)).toEqual([`${id}-c`, `${id}-a`, `${id}-c`])
      expect(await store.listParts({ project_id, id })).toEqual([])

      const loose = await store.deleteFile({ project_id, id: `file-${id}`, now })
      expect(loose?.toSorted()).toEqual([`${id}-a`, `${id}-c`])
      expect(await used()).toBe(before - 30)
    })

    it.each([
      ['a part that is not theirs', ['a', 'x']],
      ['other sizes', ['a']],
    ])('change nothing when they are completed with %s', async (_, parts) => {
      await begin({ bytes: 20 })
      await add('a')
      expect(await complete(...parts)).toBe('parts-changed')
      expect(await store.findUpload({ project_id, id })).toMatchObject({ status: 'pending' })
      expect(await store.listParts({ project_id, id })).toHaveLength(1)
    })

    it('end once, however many try at the same time', async () => {
      await begin({ bytes: 10 })
      await add('a')
      const before = await used()
      const outcomes = await Promise.all([
        ...[complete('a'), store.cancelUpload({ project_id, id, now }), complete('a')],
      ])
      expect(outcomes).toEqual([
        ...[{ outcome: 'completed', loose: [] }, undefined, { outcome: 'not-pending' }],
      ])
      expect(await used()).toBe(before)
    })

    it('are no more pending from the second of their end, and expire once', async () => {
      await begin({ bytes: 10 })
      await add('a')
      const before = await used()
      const { expires_at } = upload(id)
      expect(await add('b', 0, { time: expires_at })).toEqual({ outcome: 'not-pending' })
      expect(await store.cancelUpload({ project_id, id, now: expires_at })).toBe(undefined)
      while ((await store.expireUploads({ now: expires_at - 1, limit: 1 })) > 0);
      expect(await store.findUpload({ project_id, id })).toMatchObject({ status: 'pending' })
      while ((await store.expireUploads({ now: expires_at, limit: 1 })) > 0);
      expect(await store.findUpload({ project_id, id })).toMatchObject({ status: 'expired' })
      expect(await used()).toBeLessThanOrEqual(before - 10)
      expect(await store.takeLooseBlob({ blob_id: `${id}-a` })).toBe(true)
    })

    it('are forgotten a while after their end, unless they are pending', async () => {
      await begin()
      await store.forgetUploads({ expired_before: now + 1e6, limit: 10 })
      expect(await store.findUpload({ project_id, id })).toBeDefined()
      await store.cancelUpload({ project_id, id, now })
      await store.forgetUploads({ expired_before: upload(id).expires_at, limit: 10 })
      expect(await store.findUpload({ project_id, id })).toBeDefined()
      await store.forgetUploads({ expired_before: upload(id).expires_at + 1, limit: 10 })
      expect(await store.findUpload({ project_id, id })).toBe(undefined)
    })
  })
}

interface Place {
  readonly time?: number
  readonly offset?: number
}

const owner = { organization_id: 'org-1', project_id: 'proj_1' }
const { project_id } = owner
const most_parts = 5
const now = 1_700_000_000
const file = {
  ...{ sha256: '', encoding: 'binary' as const, created_at: now, expires_at: null },
  ...{ mime_type: null, num_lines: null, tokens: null },
}

function upload(id: string): NewUpload {
  return {
    ...{ id, ...owner, purpose: 'batch', filename: 'file.jsonl', mime_type: 'text/plain' },
    ...{ bytes: 10, lifetime: null, created_at: now, expires_at: now + 3600 },
    tus_metadata: null,
  }
}

/** A part of the blob after which it is named. */
function newPart(blob_id: string, bytes: number): Omit<PartRow, 'sequence'> {
  return {
    ...{ id: blob_id, blob_id, bytes, sha256: `of ${blob_id}`, encoding: 'binary' },
    ...{ checksums: Uint8Array.of(1, 2), created_at: now },
  }
}
