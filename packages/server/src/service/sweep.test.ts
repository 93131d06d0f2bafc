import { Readable } from 'node:stream'
import type { File } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { countingBytes } from '../../test/counting-bytes.ts'
import { rules, trialRules } from '../../test/no-rules.ts'
import type { BlobDriver } from '../blobs/blob-driver.ts'
import { createBlobStore } from '../blobs/blob-store.ts'
import { createMemoryDriver } from '../blobs/memory.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import type { Caller } from './access.ts'
import type { BlobIds } from './blob-ids.ts'
import { fileTooLarge } from './errors.ts'
import { createFiles } from './files.ts'
import { createIds } from './ids.ts'
import type { MeasureName } from './measures.ts'
import { createRemoval } from './removal.ts'
import { createStaging, type StagedContent } from './staging.ts'
import { createSweep } from './sweep.ts'

const hour = 3600
const day = 24 * hour
const start = 1_700_000_000

describe('the sweep', () => {
  it('removes expired files, their bytes and what they used', async () => {
    await using coffer = await openCoffer()
    await coffer.create('brief', { expiresAfter: hour })
    const long = await coffer.create('long', { expiresAfter: 2 * hour })
    const lasting = await coffer.create('lasting')
    coffer.clock.time = start + hour
    await coffer.sweep()
    expect(coffer.stored()).toEqual([long.blob_id, lasting.blob_id])
    expect(await coffer.usedBytes()).toBe('long'.length + 'lasting'.length)
    expect(await coffer.listed()).toEqual([long.id, lasting.id])
  })

  it('leaves no trace of what it removed among the loose blobs', async () => {
    await using coffer = await openCoffer()
    await coffer.create('brief', { expiresAfter: hour })
    coffer.clock.time = start + hour
    await coffer.sweep()
    expect(await coffer.looseBlobs()).toEqual([])
  })

  it('removes more files in one run than it takes at a time', async () => {
    await using coffer = await openCoffer()
    const files = Array.from({ length: 450 }, (_, at) => at)
    await Promise.all(files.map((at) => coffer.create(`${at}`, { expiresAfter: hour })))
    const lasting = await coffer.create('lasting')
    coffer.clock.time = start + hour
    await coffer.sweep()
    expect(coffer.stored()).toEqual([lasting.blob_id])
    expect(await coffer.usedBytes()).toBe('lasting'.length)
    expect(await coffer.looseBlobs()).toEqual([])
  })

  it('removes uploads of a day ago that no file came to hold, and leaves younger ones', async () => {
    await using coffer = await openCoffer()
    const old = await coffer.stage('old')
    coffer.clock.time = start + hour
    const young = await coffer.stage('young')
    coffer.clock.time = start + day - 1
    await coffer.sweep()
    expect(coffer.stored()).toEqual([old.blob_id, young.blob_id])
    coffer.clock.time = start + day
    await coffer.sweep()
    expect(coffer.stored()).toEqual([young.blob_id])
    expect(await coffer.looseBlobs()).toEqual([young.blob_id])
  })

  it('leaves files alone, however old they are', async () => {
    await using coffer = await openCoffer()
    const file = await coffer.create('lasting')
    coffer.clock.time = start + 100 * 365 * day
    await coffer.sweep()
    expect(coffer.stored()).toEqual([file.blob_id])
    expect(await coffer.listed()).toEqual([file.id])
  })

  it('refuses a file whose upload it took, and charges nothing for it', async () => {
    await using coffer = await openCoffer()
    const slow = await coffer.stage('slow')
    coffer.clock.time = start + day
    await coffer.sweep()
    await expect(coffer.hold(slow)).rejects.toMatchObject({ code: 'upload_too_slow' })
    expect(await coffer.usedBytes()).toBe(0)
    expect(await coffer.listed()).toEqual([])
  })

  it('leaves an upload of its own process alone, however long that takes', async () => {
    await using coffer = await openCoffer()
    async function* slowly() {
      yield Buffer.from('be')
      coffer.clock.time = start + 400 * day
      await coffer.sweep()
      yield Buffer.from('gun')
    }
    const upload = await coffer.staging.stage(slowly(), {
      maxBytes: 1000,
      tooLarge: () => fileTooLarge(1000),
    })
    await coffer.sweep()
    const file = await coffer.hold(upload)
    expect(coffer.stored()).toEqual([upload.blob_id])
    expect(await coffer.listed()).toEqual([file.id])
    expect(coffer.staging.underWay()).toEqual([])
  })

  it('removes the rest when a blob cannot be removed, and tries that again', async () => {
    const broken = new Set<string>()
    await using coffer = await openCoffer(broken)
    const blobs = await Promise.all(['a', 'b', 'c'].map((content) => coffer.stage(content)))
    const [, failing] = blobs
    coffer.clock.time = start + day
    broken.add(failing?.blob_id ?? '')
    await coffer.sweep()
    expect(coffer.stored()).toEqual([failing?.blob_id])
    expect(await coffer.looseBlobs()).toEqual([failing?.blob_id])
    expect(coffer.errors).toMatchObject([{ blob: failing?.blob_id, err: { code: 'unavailable' } }])

    await coffer.sweep()
    expect(coffer.errors).toHaveLength(2)
    broken.clear()
    await coffer.sweep()
    expect(coffer.stored()).toEqual([])
    expect(await coffer.looseBlobs()).toEqual([])
    expect(coffer.errors).toHaveLength(2)
  })

  it('goes on behind a whole batch of blobs that cannot be removed', async () => {
    const broken = new Set<string>()
    await using coffer = await openCoffer(broken)
    for (let at = 0; at < 200; at += 1) broken.add((await coffer.stage('stuck')).blob_id)
    await coffer.stage('free')
    coffer.clock.time = start + day
    await coffer.sweep()
    expect(coffer.stored()).toEqual([...broken])
  })

  it('removes what a deletion could not remove', async () => {
    const broken = new Set<string>()
    await using coffer = await openCoffer(broken)
    const file = await coffer.create('content')
    broken.add(file.blob_id)
    await coffer.delete(file.id)
    expect(coffer.stored()).toEqual([file.blob_id])
    expect(coffer.errors).toHaveLength(1)
    broken.clear()
    await coffer.sweep()
    expect(coffer.stored()).toEqual([])
  })

  it('lets a page begin behind a deleted file for a day', async () => {
    await using coffer = await openCoffer()
    const first = await coffer.create('first')
    const second = await coffer.create('second')
    await coffer.delete(first.id)
    coffer.clock.time = start + day
    await coffer.sweep()
    expect(await coffer.listed(first.id)).toEqual([second.id])
    coffer.clock.time = start + day + 1
    await coffer.sweep()
    await expect(coffer.listed(first.id)).rejects.toMatchObject({ code: 'file_not_found' })
  })

  it('does nothing to files and blobs once it was told to end', async () => {
    await using coffer = await openCoffer()
    const file = await coffer.create('brief', { expiresAfter: hour })
    const upload = await coffer.stage('upload')
    coffer.clock.time = start + day
    await coffer.sweep(AbortSignal.abort())
    expect(coffer.stored()).toEqual([file.blob_id, upload.blob_id])
    expect(await coffer.usedBytes()).toBe('brief'.length)
  })
})

describe('bytes that no row knows', () => {
  it('are seen a second time and kept for a day before they go', async () => {
    await using coffer = await openCoffer()
    const held = await coffer.create('content')
    await coffer.blobs.write('a'.repeat(32), Readable.from([Buffer.from('lost')]), { maxBytes: 4 })
    await coffer.round()
    expect(coffer.counts.get('orphans_found')).toBe(1)
    coffer.clock.time += hour
    await coffer.round()
    expect(coffer.counts.get('orphans_quarantined')).toBe(1)
    coffer.clock.time += day - 1
    await coffer.round()
    expect(coffer.stored()).toEqual([held.blob_id, 'a'.repeat(32)])
    coffer.clock.time += 1
    await coffer.round()
    await coffer.sweep()
    expect(coffer.stored()).toEqual([held.blob_id])
  })

  it('stay if they are many, which is said', async () => {
    await using coffer = await openCoffer()
    const ids = Array.from({ length: 11 }, (_, at) => `aa${String(at).padStart(30, '0')}`)
    for (const id of ids) {
      await coffer.blobs.write(id, Readable.from([Buffer.from('lost')]), { maxBytes: 4 })
    }
    for (let round = 0; round < 4; round += 1) {
      await coffer.round()
      coffer.clock.time += day
    }
    expect(coffer.stored()).toEqual(ids)
    expect(coffer.counts.get('sweeps_stopped')).toBe(4)
    expect(coffer.errors).toHaveLength(4)
    expect(coffer.errors[0]).toEqual({ prefix: 'aa', blobs: 11, orphans: 11 })
  })

  it('stay while the rows are restored ones', async () => {
    await using coffer = await openCoffer()
    await coffer.blobs.write('a'.repeat(32), Readable.from([Buffer.from('lost')]), { maxBytes: 4 })
    coffer.restored.rows = true
    for (let round = 0; round < 4; round += 1) {
      await coffer.round()
      coffer.clock.time += day
    }
    expect(coffer.stored()).toEqual(['a'.repeat(32)])
    expect(coffer.counts.get('orphans_found')).toBe(undefined)
  })
})

describe('the mark of the store', () => {
  it('is advanced every hour', async () => {
    await using coffer = await openCoffer()
    for (const [seconds, times] of [
      [hour - 1, 0],
      [hour, 1],
      [hour + 10, 1],
      [2 * hour, 2],
    ] as const) {
      coffer.clock.time = start + seconds
      await coffer.sweep()
      expect(coffer.advanced()).toBe(times)
    }
  })
})

describe('a discarded upload', () => {
  it('is removed at once', async () => {
    await using coffer = await openCoffer()
    const upload = await coffer.stage('upload')
    await coffer.removal.discard(upload.blob_id)
    expect(coffer.stored()).toEqual([])
    expect(await coffer.looseBlobs()).toEqual([])
  })

  it('stays if a file holds it after all', async () => {
    await using coffer = await openCoffer()
    const file = await coffer.create('content')
    await coffer.removal.discard(file.blob_id)
    expect(coffer.stored()).toEqual([file.blob_id])
    expect(coffer.errors).toEqual([])
  })

  it('that cannot be removed is left to the next sweep, and cannot be held', async () => {
    const broken = new Set<string>()
    await using coffer = await openCoffer(broken)
    const upload = await coffer.stage('upload')
    broken.add(upload.blob_id)
    await coffer.removal.discard(upload.blob_id)
    expect(coffer.errors).toHaveLength(1)
    await expect(coffer.hold(upload)).rejects.toMatchObject({ code: 'upload_too_slow' })
    broken.clear()
    await coffer.sweep()
    expect(coffer.stored()).toEqual([])
  })
})

/** The parts of a Coffer that the sweep works with, over stores in memory. */
async function openCoffer(broken: ReadonlySet<string> = new Set()) {
  const metadata = await openSqliteStore(':memory:')
  const clock = { time: start, now: () => clock.time }
  const ids = createIds(countingBytes())
  const caller: Caller = await metadata.ensureOwner({
    organization_id: ids.organization(),
    project_id: ids.project(),
    now: start,
  })
  const { driver, stored } = watchDriver(broken)
  const blobs = createBlobStore(driver)
  const errors: object[] = []
  const log = { info() {}, warn() {}, error: (context: object) => void errors.push(context) }
  const counts = new Map<MeasureName, number>()
  const measures = {
    add: (name: MeasureName, count = 1) => void counts.set(name, (counts.get(name) ?? 0) + count),
  }
  const restored = { rows: false }
  const presence = { server_id: 'server_1', share: (parts: number) => ({ from: 0, to: parts }) }
  const removal = createRemoval({ metadata, blobs, log, measures })
  const blobIds: BlobIds = {
    async next() {
      const id = ids.blob()
      await metadata.addLooseBlobs({
        ...{ blob_ids: [id], sweep_after: clock.now() + day, server_id: presence.server_id },
      })
      return id
    },
  }
  const staging = createStaging({ blobs, blobIds, removal })
  const settings = {
    profile: 'open',
    downloads: 'stream',
    maxFileBytes: 1000,
    organizationQuotaBytes: 10_000,
  } as const
  const needs = { metadata, blobs, staging, removal, clock, ids, log, measures }
  let advanced = 0
  const binding = {
    isRestored: () => restored.rows,
    state: () => ({ restored_before: 0, history: null }),
    async look() {},
    async advance() {
      advanced += 1
    },
    async check() {},
  }
  const files = createFiles({ ...needs, rules, trialRules, binding, settings })
  const sweep = createSweep({ ...needs, binding, presence })
  // Of another process nobody knows what it is writing.
  const elsewhere = createStaging({ blobs, blobIds, removal })

  /** An upload that neither became a file nor was discarded, as a crash leaves it. */
  async function stage(content: string): Promise<StagedContent> {
    return elsewhere.stage(Readable.from([Buffer.from(content)]), {
      maxBytes: 1000,
      tooLarge: () => fileTooLarge(1000),
    })
  }

  async function hold(upload: StagedContent, expiresAfter?: number): Promise<File> {
    const file = { filename: 'f', purpose: 'user_data', expiresAfter } as const
    return files.create(caller, upload, file, new AbortController().signal)
  }

  return {
    clock,
    counts,
    restored,
    advanced: () => advanced,
    blobs,
    removal,
    staging,
    stage,
    hold,
    /** What was logged as an error. */
    errors,
    /** The ids of all blobs, in the order in which they were written. */
    stored,
    async create(content: string, options: { expiresAfter?: number } = {}) {
      const upload = await stage(content)
      const { id } = await hold(upload, options.expiresAfter)
      return { id, blob_id: upload.blob_id }
    },
    async delete(id: string) {
      await files.delete(caller, id)
      await removal.settled()
    },
    async listed(after?: string) {
      const { data } = await files.list(caller, { order: 'asc', limit: 1000, after })
      return data.map(({ id }) => id)
    },
    usedBytes: () => metadata.findUsedBytes(caller),
    /** All of them, which are taken by this. */
    looseBlobs: () =>
      metadata.takeSweepableBlobs({
        ...{ now: start + 1000 * day, after_id: '', limit: 1000, ...binding.state() },
        ...{ server_id: 'server_1', share: { from: '', to: '~' } },
      }),
    sweep: (signal = new AbortController().signal) => sweep.run(signal),
    /** As many sweeps as look at all blobs once. */
    async round() {
      for (let part = 0; part < 256; part += 1) await sweep.run(new AbortController().signal)
    },
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}

/** A driver in memory that tells what it has, and that cannot delete the blobs in `broken`. */
function watchDriver(broken: ReadonlySet<string>) {
  const memory = createMemoryDriver()
  const ids = new Set<string>()
  const driver: BlobDriver = {
    ...memory,
    async write(id, source) {
      await memory.write(id, source)
      ids.add(id)
    },
    async delete(id) {
      if (broken.has(id)) throw new Error('The disk failed.')
      await memory.delete(id)
      ids.delete(id)
    },
  }
  return { driver, stored: () => [...ids] }
}
