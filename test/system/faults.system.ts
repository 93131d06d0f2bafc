/**
 * P28: whatever call of a store fails, before or after its work, what the service has answered
 * stays true. Each run draws its commands, its crashes and its faults from one seed.
 */

import { createHash } from 'node:crypto'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createBlobStore } from '../../packages/server/src/blobs/blob-store.ts'
import { openDiskDriver } from '../../packages/server/src/blobs/disk.ts'
import { openSqliteStore } from '../../packages/server/src/metadata/sqlite.ts'
import type { Caller } from '../../packages/server/src/service/access.ts'
import { createIds } from '../../packages/server/src/service/ids.ts'
import { openService, type Service } from '../../packages/server/src/service/service.ts'
import { rules, trialRules } from '../../packages/server/test/no-rules.ts'
import { withDriverFaults, withFaults } from './faulty-stores.ts'
import { report, tries } from './length.ts'
import { createRandom, type Random } from './random.ts'

const KiB = 1024
const quota = 2_000_000
const hour = 3600
const day = 24 * hour

describe('a service on stores that fail', () => {
  it('keeps what it answered, and loses track of nothing', async () => {
    // One seed alone, as a failure names it: COFFER_TEST_SEED=17 npm run test:system faults
    const only = process.env['COFFER_TEST_SEED']
    const count = tries({ short: 20, long: 500 })
    const seeds =
      only === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(only)]
    const fired = new Map<string, number>()
    let commands = 0
    for (const seed of seeds) {
      try {
        commands += await runSeed(seed, fired)
      } catch (cause) {
        throw new Error(`The seed ${seed} breaks a promise.`, { cause })
      }
    }
    const total = [...fired.values()].reduce((sum, times) => sum + times, 0)
    report(
      'P28',
      `${seeds.length} seeds, ${commands} commands, ${total} faults at ${fired.size} sites, 0 promises broken`,
    )
    if (only === undefined) expect(fired.size).toBeGreaterThanOrEqual(30)
  })
})

/** What the answers so far allow: `undefined` where a failed call leaves two possibilities. */
interface Model {
  /** By id: the hash of what was acknowledged. */
  readonly stored: Map<string, string>
  /** Of files whose deletion failed: they may be there or not. */
  readonly doubtful: Map<string, string>
  readonly deleted: Set<string>
}

async function runSeed(seed: number, fired: Map<string, number>): Promise<number> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'coffer-faults-'))
  const random = createRandom(seed)
  const armed = new Map<string, boolean>()
  let isCalm = true
  const faults = {
    fires(site: string): boolean {
      if (!armed.has(site)) armed.set(site, random.chance(0.25))
      const fires = !isCalm && armed.get(site) === true && random.chance(0.25)
      if (fires) fired.set(site, (fired.get(site) ?? 0) + 1)
      return fires
    },
  }
  const clock = { time: 1_700_000_000, now: () => clock.time }
  const ids = createIds((bytes) => random.bytes(bytes))
  const log = { info() {}, warn() {}, error() {} }
  const measures = { add() {} }
  const model: Model = { stored: new Map(), doubtful: new Map(), deleted: new Set() }

  async function open() {
    isCalm = true
    const plain = await openSqliteStore(join(folder.path, 'coffer.db'))
    const driver = await openDiskDriver(join(folder.path, 'blobs'))
    const metadata = withFaults(plain, faults)
    const blobs = createBlobStore(withDriverFaults(driver, faults))
    const settings = {
      profile: 'open',
      downloads: 'stream',
      maxFileBytes: 700 * KiB,
      maxPartBytes: 200 * KiB,
      uploadSeconds: 3600,
      organizationQuotaBytes: quota,
    } as const
    const service = await openService({
      ...{ metadata, blobs, isShared: false, rules, trialRules },
      ...{ clock, ids, log, measures, settings },
    })
    const owner = await plain.ensureOwner({
      organization_id: ids.organization(),
      project_id: ids.project(),
      now: clock.time,
    })
    isCalm = false
    return {
      service,
      caller: owner,
      plain,
      driver,
      async close() {
        isCalm = true
        await service.settled()
        await plain.close()
        await driver.close()
      },
    }
  }

  let coffer = await open()
  const steps = 60
  try {
    for (let step = 0; step < steps; step += 1) {
      await command(coffer.service, coffer.caller, model, random)
      if (random.chance(0.1)) clock.time += random.below(2 * day)
      if (random.chance(0.1)) await sweep(coffer.service)
      if (random.chance(0.03)) {
        await coffer.close()
        coffer = await open()
      }
    }
    await coffer.close()
    coffer = await open()
    isCalm = true
    await expectTrue(coffer, model)
  } finally {
    await coffer.close()
  }
  return steps
}

async function command(
  service: Service,
  caller: Caller,
  model: Model,
  random: Random,
): Promise<void> {
  const known = [...model.stored.keys()]
  const id = known[random.below(known.length)]
  if (id === undefined || random.chance(0.5)) return upload(service, caller, model, random)
  if (random.chance(0.4)) return remove(service, caller, model, id)
  await read(service, caller, id, model.stored.get(id) ?? '')
}

async function upload({ files }: Service, caller: Caller, model: Model, random: Random) {
  const sizes = [0, 1, 5 * KiB, 16 * KiB, 16 * KiB + 1, 100 * KiB, 600 * KiB]
  const content = random.bytes(sizes[random.below(sizes.length)] ?? 0)
  const isCut = random.chance(0.1)
  async function* source() {
    yield content.subarray(0, content.length / 2)
    if (isCut) throw new Error('The client left.')
    yield content.subarray(content.length / 2)
  }
  try {
    const known = { filename: 'f', purpose: 'user_data', isBounded: random.chance(0.5) } as const
    await using staged = await files.stage(caller, source(), known)
    const about = { filename: 'f', purpose: 'user_data', expiresAfter: undefined } as const
    const file = await files.create(caller, staged, about, new AbortController().signal)
    expect(isCut).toBe(false)
    expect(file.bytes).toBe(content.length)
    model.stored.set(file.id, sha256(content))
  } catch (error) {
    rethrowUnexpected(error)
  }
}

async function remove({ files }: Service, caller: Caller, model: Model, id: string) {
  const sum = model.stored.get(id) ?? ''
  model.stored.delete(id)
  try {
    await files.delete(caller, id)
    model.deleted.add(id)
  } catch (error) {
    rethrowUnexpected(error)
    model.doubtful.set(id, sum)
  }
}

async function read({ files }: Service, caller: Caller, id: string, sum: string) {
  try {
    const { file, read: open } = await files.open(caller, id)
    const hash = createHash('sha256')
    for await (const piece of open({ start: 0, end: file.bytes })) hash.update(piece)
    expect(hash.digest('hex')).toBe(sum)
  } catch (error) {
    rethrowUnexpected(error)
  }
}

async function sweep(service: Service): Promise<void> {
  try {
    await service.sweep.run(new AbortController().signal)
  } catch (error) {
    rethrowUnexpected(error)
  }
}

/** A fault that was put in, or what a client may be told; anything else is a fault of ours. */
function rethrowUnexpected(error: unknown): void {
  const isNamed =
    error instanceof Error && ['BlobError', 'MetadataError', 'ServiceError'].includes(error.name)
  if (isNamed && !('code' in error && error.code === 'not-found')) return
  if (error instanceof Error && error.message === 'The client left.') return
  throw error
}

interface Opened {
  readonly service: Service
  readonly caller: Caller
  readonly plain: Awaited<ReturnType<typeof openSqliteStore>>
  readonly driver: Awaited<ReturnType<typeof openDiskDriver>>
}

/** With no more faults: all that was answered is true, and nothing is left behind. */
async function expectTrue({ service, caller, plain, driver }: Opened, model: Model): Promise<void> {
  await service.sweep.run(new AbortController().signal)
  await service.settled()
  const listed = await service.files.list(caller, { order: 'asc', limit: 10_000 })
  const ids = new Set(listed.data.map(({ id }) => id))
  for (const [id, sum] of model.stored) {
    expect(ids, 'acknowledged').toContain(id)
    await read(service, caller, id, sum)
  }
  for (const id of model.deleted) expect(ids, 'deleted').not.toContain(id)

  let bytes = 0
  const held: string[] = []
  for (const file of listed.data) {
    bytes += file.bytes
    const content = await service.files.open(caller, file.id)
    const hash = createHash('sha256')
    for await (const piece of content.read({ start: 0, end: file.bytes })) hash.update(piece)
    expect(hash.digest('hex'), 'readable').toBe(content.tag)
    const segments = await plain.listSegments({ project_id: caller.project_id, file_id: file.id })
    held.push(...segments.map(({ blob_id }) => blob_id))
  }
  expect(await plain.findUsedBytes(caller), 'usage').toBe(bytes)
  expect(bytes).toBeLessThanOrEqual(quota)
  const kept: string[] = []
  for (let part = 0; part < 256; part += 1) {
    kept.push(...(await Array.fromAsync(driver.list(part.toString(16).padStart(2, '0')))))
  }
  expect(kept.sort(), 'blobs').toEqual(held.sort())
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
