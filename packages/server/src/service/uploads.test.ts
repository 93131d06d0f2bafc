import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { countingBytes } from '../../test/counting-bytes.ts'
import { rules, trialRules } from '../../test/no-rules.ts'
import { type BlobStore, createBlobStore } from '../blobs/blob-store.ts'
import { createMemoryDriver } from '../blobs/memory.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { createFiles } from './files.ts'
import { createIds } from './ids.ts'
import { createRemoval } from './removal.ts'
import { createStaging, type StagedContent } from './staging.ts'
import { createUploads } from './uploads.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const start = 1_700_000_000
const patient = new AbortController().signal

describe('the completion of an Upload of 128 parts', () => {
  it('reads no byte, however many were declared: the bytes need not even be there', async () => {
    await using coffer = await openCoffer()
    const id = await coffer.begin(8 * GiB)
    const part_ids: string[] = []
    for (let at = 0; at < 128; at += 1) {
      part_ids.push(await coffer.add(id, await coffer.pretend(64 * MiB, at)))
    }
    const { status, file } = await coffer.complete(id, part_ids)
    expect({ status, bytes: file?.bytes }).toEqual({ status: 'completed', bytes: 8 * GiB })
    expect(coffer.reads).toEqual([])
  })

  it('reads none of bytes that are there', async () => {
    await using coffer = await openCoffer()
    const { id, part_ids } = await coffer.addSmallParts()
    await coffer.complete(id, part_ids)
    expect(coffer.reads).toEqual([])
  })

  it('reads all of them once where it has an MD5 to hold them against', async () => {
    await using coffer = await openCoffer()
    const { id, part_ids, blobs, whole } = await coffer.addSmallParts()
    const wrong = coffer.complete(id, part_ids, createHash('md5').update('other').digest('hex'))
    await expect(wrong).rejects.toMatchObject({ code: 'content_md5_differs' })
    expect(coffer.reads).toEqual(blobs)

    coffer.reads.length = 0
    await coffer.complete(id, part_ids, createHash('md5').update(whole).digest('hex'))
    expect(coffer.reads).toEqual(blobs)
  })
})

describe('an Upload whose bytes cannot be held against an MD5', () => {
  it('says that they are damaged', async () => {
    await using coffer = await openCoffer()
    const id = await coffer.begin(MiB)
    const part = await coffer.add(id, await coffer.pretend(MiB, 0))
    const completed = coffer.complete(id, [part], '0'.repeat(32))
    await expect(completed).rejects.toMatchObject({ code: 'content_damaged' })
  })

  it('says that it was cancelled, if that is why', async () => {
    await using coffer = await openCoffer()
    const id = await coffer.begin(MiB)
    const part = await coffer.add(id, await coffer.pretend(MiB, 0))
    coffer.beforeRead(async () => {
      expect(await coffer.cancel(id)).toMatchObject({ status: 'cancelled' })
    })
    const completed = coffer.complete(id, [part], '0'.repeat(32))
    await expect(completed).rejects.toMatchObject({ code: 'upload_not_pending' })
  })

  it('says that the storage is out of reach, if that is why', async () => {
    await using coffer = await openCoffer({ isOutOfReach: true })
    const id = await coffer.begin(MiB)
    const part = await coffer.add(id, await coffer.pretend(MiB, 0))
    const completed = coffer.complete(id, [part], '0'.repeat(32))
    await expect(completed).rejects.toMatchObject({ code: 'service_unavailable' })
  })
})

describe('an MD5 that is asked for', () => {
  it('is taken to its end although who asked has left, and found by who asks again', async () => {
    await using coffer = await openCoffer()
    const { id, part_ids, blobs, whole } = await coffer.addSmallParts()
    const md5 = createHash('md5').update(whole).digest('hex')
    const leaving = new AbortController()
    const { promise: goOn, resolve } = Promise.withResolvers<void>()
    coffer.beforeRead(() => goOn)
    const left = coffer.complete(id, part_ids, md5, leaving.signal)
    leaving.abort(new Error('The client left.'))
    await expect(left).rejects.toThrow('The client left.')
    const again = coffer.complete(id, part_ids, md5)
    resolve()
    expect(await again).toMatchObject({ status: 'completed' })
    expect(coffer.reads).toEqual(blobs)
  })

  it('is taken once where many complete the same Upload', async () => {
    await using coffer = await openCoffer()
    const { id, part_ids, blobs, whole } = await coffer.addSmallParts()
    const md5 = createHash('md5').update(whole).digest('hex')
    const completions = Array.from({ length: 20 }, () => coffer.complete(id, part_ids, md5))
    const made = new Set((await Promise.all(completions)).map(({ file }) => file?.id))
    expect(made.size).toBe(1)
    expect(coffer.reads).toEqual(blobs)
  })
})

/** The parts of a Coffer that an Upload passes through, over stores in memory. */
async function openCoffer({ isOutOfReach = false } = {}) {
  const metadata = await openSqliteStore(':memory:')
  const clock = { now: () => start }
  const ids = createIds(countingBytes())
  const caller = await metadata.ensureOwner({
    organization_id: ids.organization(),
    project_id: ids.project(),
    now: start,
  })
  const { blobs, reads, beforeRead } = watchReads(createBlobStore(createMemoryDriver()))
  const log = { info() {}, warn() {}, error() {} }
  const removal = createRemoval({ metadata, blobs, log, measures: { add() {} } })
  const blobIds = {
    async next() {
      const id = ids.blob()
      await metadata.addLooseBlobs({
        ...{ blob_ids: [id], sweep_after: start + 3600, server_id: 'server_1' },
      })
      return id
    },
  }
  const staging = createStaging({ blobs, blobIds, removal })
  const settings = {
    profile: 'open',
    downloads: 'stream',
    maxFileBytes: GiB,
    maxPartBytes: 64 * MiB,
    uploadSeconds: 3600,
    organizationQuotaBytes: 10 * GiB,
  } as const
  const binding = {
    isRestored: () => false,
    async look() {},
    async advance() {},
    async check() {
      if (isOutOfReach) throw new Error('The volume is not mounted.')
    },
  }
  const needs = { metadata, blobs, staging, removal, rules, clock, ids, settings }
  const files = createFiles({ ...needs, trialRules, binding, log, measures: { add() {} } })
  const uploads = createUploads({ ...needs, binding, files })

  async function begin(bytes: number): Promise<string> {
    const about = { filename: 'a.bin', purpose: 'user_data', mimeType: '' } as const
    return (await uploads.create(caller, { ...about, bytes, expiresAfter: undefined })).id
  }

  async function add(id: string, content: StagedContent): Promise<string> {
    return (await uploads.addPart(caller, id, content, undefined)).id
  }

  return {
    reads,
    begin,
    add,
    /** As if so many bytes had been written, for a part that is like no other. */
    async pretend(bytes: number, number: number): Promise<StagedContent> {
      return {
        blob_id: await blobIds.next(),
        bytes,
        sha256: createHash('sha256').update(`${number}`).digest('hex'),
        checksums: new Uint8Array(),
        encoding: 'binary',
        edges: 'binary',
        watched: undefined,
        keep() {},
        async [Symbol.asyncDispose]() {},
      }
    },
    /** 128 parts of some bytes each, in an Upload of their own. */
    async addSmallParts() {
      const contents = Array.from({ length: 128 }, (_, at) => Buffer.from(`part ${at}; `))
      const whole = Buffer.concat(contents)
      const id = await begin(whole.length)
      const part_ids: string[] = []
      const held: string[] = []
      for (const content of contents) {
        const staged = await uploads.stage(caller, id, Readable.from([content]))
        held.push(staged.blob_id)
        part_ids.push(await add(id, staged))
      }
      return { id, part_ids, blobs: held, whole }
    },
    complete: (id: string, partIds: string[], md5?: string, signal = patient) =>
      uploads.complete(caller, id, { partIds, md5, signal }),
    beforeRead,
    cancel: (id: string) => uploads.cancel(caller, id),
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}

/** Tells which blobs were read, in their order, and may hold each read up. */
function watchReads(store: BlobStore) {
  const reads: string[] = []
  let hook = async () => {}
  const blobs: BlobStore = {
    ...store,
    async *read(blob, range) {
      reads.push(blob.id)
      await hook()
      yield* store.read(blob, range)
    },
  }
  const beforeRead = (next: () => Promise<void>) => {
    hook = next
  }
  return { blobs, reads, beforeRead }
}
