/** What networks and stores do to requests, by a proxy before a real S3 server (P25 of docs). */

import { setTimeout as sleep } from 'node:timers/promises'
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type BlobDriver, pieceBytes } from '../src/blobs/blob-driver.ts'
import { blockBytes } from '../src/blobs/block-sums.ts'
import { openS3Driver, type S3Options } from '../src/blobs/s3.ts'
import type { S3Place } from '../src/blobs/s3-store.ts'
import { createUploadMemory, partBytes } from '../src/blobs/upload-memory.ts'
import { type Fault, type FaultProxy, type Operation, startFaultProxy } from './s3-fault-proxy.ts'
import { type S3Server, startS3Server } from './s3-server.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const KiB = 1024
const MiB = 1024 * KiB
const minute = 60_000
const hour = 60 * minute
/** Of a store's clock before ours. */
const fast = 4 * minute
const always = Number.POSITIVE_INFINITY

/** Quick to give up, as the proxy is near. */
const limits = {
  ...{ connectMilliseconds: 2000, idleMilliseconds: 400, requestMilliseconds: 20_000 },
  sendMilliseconds: 20_000,
  ...{ settleMilliseconds: 5000, checkMilliseconds: 300, attempts: 3 },
}

const small = 100 * KiB
const large = 17 * MiB

const reason = await whyNoS3Server()

describe.skipIf(reason !== undefined)(reason ?? 'S3 with faults', () => {
  let server: S3Server
  let proxy: FaultProxy
  let place: S3Place & { endpoint: string }
  let client: S3Client
  let driver: BlobDriver

  const open = (options: Partial<S3Options> = {}) =>
    openS3Driver({ ...place, endpoint: proxy.endpoint, limits, warn() {}, ...options })

  beforeAll(async () => {
    server = await startS3Server()
    proxy = await startFaultProxy(server.endpoint)
    place = await server.makePlace()
    const { endpoint, credentials } = server
    client = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  })
  // Each with a client of its own: one whose requests failed often enough tries none again.
  beforeEach(async () => {
    driver = await open()
  })
  afterEach(async () => {
    await driver.close()
    proxy.heal()
    await abortAll()
  })
  afterAll(async () => {
    client.destroy()
    await proxy[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  const read = (id: string, end: number, start = 0) => collect(driver.read(id, { start, end }))

  async function uploads() {
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: place.bucket, Prefix: place.prefix }),
    )
    return Uploads
  }

  const unfinished = async () => (await uploads()).map(({ UploadId }) => UploadId)

  async function abortAll(): Promise<void> {
    for (const { Key, UploadId } of await uploads()) {
      await client.send(new AbortMultipartUploadCommand({ Bucket: place.bucket, Key, UploadId }))
    }
  }

  async function objects(id: string): Promise<string[]> {
    const { Contents = [] } = await client.send(
      new ListObjectsV2Command({ Bucket: place.bucket, Prefix: `${place.prefix}blobs/${id}` }),
    )
    return Contents.map(({ Key = '' }) => Key)
  }

  async function expectNothing(id: string): Promise<void> {
    expect(await objects(id)).toEqual([])
    expect(await unfinished()).toEqual([])
  }

  async function expectWritten(id: string, size: number): Promise<void> {
    expect((await read(id, size)).equals(bytes(size))).toBe(true)
    expect(await unfinished()).toEqual([])
  }

  const passing: [string, Fault][] = [
    ['a reset before it', { reset: 'before' }],
    ['a reset amid it', { reset: 'amid' }],
    ['an answer that is lost', { reset: 'after' }],
    ['a server that is silent', { hang: true }],
    ['500 InternalError', { status: 500, code: 'InternalError' }],
    ['503 SlowDown', { status: 503, code: 'SlowDown' }],
    ['200 with an error', { status: 200, code: 'InternalError' }],
  ]
  const requests: [Operation, number][] = [
    ['put', small],
    ['create', large],
    ['part', large],
    ['complete', large],
  ]
  const cases = requests.flatMap(([operation, size]) =>
    passing
      // Only where a store may answer so, after it has begun its answer.
      .filter(
        ([, fault]) => !('status' in fault) || fault.status !== 200 || operation === 'complete',
      )
      // Its body comes with the head.
      .filter(
        ([, fault]) => !('reset' in fault) || fault.reset !== 'amid' || operation !== 'create',
      )
      .map(([name, fault]) => ({ operation, size, name, fault })),
  )

  describe('a write', () => {
    it.each(cases)('outlives $name once, at $operation', async ({ operation, size, fault }) => {
      const id = newId()
      proxy.fail(operation, fault)
      await driver.write(id, pieces(size))
      await expectWritten(id, size)
    })

    it.each(cases)(
      'is whole or leaves nothing after $name each time, at $operation',
      async ({ operation, size, fault }) => {
        const id = newId()
        proxy.fail(operation, fault, always)
        const isMade = 'reset' in fault && fault.reset === 'after'
        if (isMade && (operation === 'put' || operation === 'complete')) {
          await driver.write(id, pieces(size))
          await expectWritten(id, size)
        } else {
          await expect(driver.write(id, pieces(size))).rejects.toThrow()
          await expectNothing(id)
        }
      },
    )

    it.each(requests)(
      'is refused at once with 403 at %s, and leaves nothing',
      async (operation, size) => {
        const id = newId()
        proxy.fail(operation, { status: 403, code: 'AccessDenied' }, always)
        const before = proxy.requests.length
        await expect(driver.write(id, pieces(size))).rejects.toThrow()
        const asked = proxy.requests.slice(before).filter((one) => one === operation)
        // The next part may be on its way before the first is refused; neither is sent again.
        expect(asked.length).toBeLessThanOrEqual(operation === 'part' ? 2 : 1)
        await expectNothing(id)
      },
    )

    it.each(requests)(
      'calls a full store full at %s, and leaves nothing',
      async (operation, size) => {
        for (const [status, code] of [
          [507, 'InsufficientStorage'],
          [507, 'XMinioStorageFull'],
          [403, 'QuotaExceeded'],
        ] as const) {
          const id = newId()
          proxy.fail(operation, { status, code })
          const write = driver.write(id, pieces(size))
          await expect(write).rejects.toMatchObject({ name: 'BlobError', code: 'full' })
          await expectNothing(id)
        }
      },
    )

    it.each([
      ['put', small],
      ['part', large],
    ] as const)('never keeps bytes that changed on their way, at %s', async (operation, size) => {
      const id = newId()
      proxy.fail(operation, { damage: true })
      await expect(driver.write(id, pieces(size))).rejects.toThrow()
      await expectNothing(id)
    })

    it('fails where the store tells another ETag of a part than it has', async () => {
      const id = newId()
      proxy.fail('part', { headers: { etag: '"00000000000000000000000000000000"' } })
      await expect(driver.write(id, pieces(large))).rejects.toThrow()
      await expectNothing(id)
    })

    it.each([
      ['put', small],
      ['complete', large],
    ] as const)('is not taken for another of the same id, at %s', async (operation, size) => {
      const id = newId()
      // The answer to the other's is lost as well, so that ours looks as if it had been tried twice.
      await driver.write(id, pieces(small))
      proxy.fail(operation, { status: 500, code: 'InternalError' })
      const write = driver.write(id, pieces(size))
      await expect(write).rejects.toMatchObject({ name: 'BlobError', code: 'exists' })
      await expectWritten(id, small)
    })

    it.each(['abort', 'parts', 'uploads'] as const)(
      'passes on the error of its source whatever comes of the clean-up, with a reset at %s',
      async (operation) => {
        const failure = new Error('The client left.')
        for (const times of [1, always]) {
          const id = newId()
          proxy.fail(operation, { reset: 'before' }, times)
          await expect(driver.write(id, pieces(large, failure))).rejects.toBe(failure)
          proxy.heal()
          expect(await objects(id)).toEqual([])
          await abortAll()
        }
      },
    )

    it.each([9, 12, 17].map((mebibytes) => mebibytes * MiB))(
      'aborts its parts when its source fails after %i bytes',
      async (size) => {
        const id = newId()
        const failure = new Error('The client left.')
        const before = proxy.requests.length
        await expect(driver.write(id, pieces(size, failure))).rejects.toBe(failure)
        expect(proxy.requests.slice(before)).toContain('abort')
        await expectNothing(id)
      },
    )
  })

  it('sends a part while the next is filled and sent, and holds no third', async () => {
    const memory = createUploadMemory(16 * partBytes)
    const own = await open({ memory, limits: {} })
    const { promise: isHeld, resolve: letGo } = Promise.withResolvers<void>()
    for (let part = 0; part < 2; part += 1) proxy.before('part', () => isHeld)
    const id = newId()
    let given = 0
    async function* source() {
      for await (const piece of pieces(3 * partBytes)) {
        given += piece.length
        yield piece
      }
    }
    const before = proxy.requests.length
    const parts = () => proxy.requests.slice(before).filter((one) => one === 'part').length
    const write = own.write(id, source())
    await expect.poll(parts).toBe(2)
    await sleep(200)
    expect([parts(), memory.heldBytes, given]).toEqual([
      2,
      2 * partBytes,
      2 * partBytes + pieceBytes,
    ])
    letGo()
    await write
    expect(
      (await collect(own.read(id, { start: 0, end: 3 * partBytes }))).equals(bytes(3 * partBytes)),
    ).toBe(true)
    expect(memory.heldBytes).toBe(0)
    await own.close()
  })

  describe('a store that falls silent', () => {
    const quick = { silentMilliseconds: 300, aliveMilliseconds: 300 }
    let own: BlobDriver

    beforeEach(async () => {
      // All else takes too long for these tests.
      own = await open({
        limits: { ...quick, checkMilliseconds: 60_000, settleMilliseconds: 60_000 },
      })
    })
    afterEach(() => own.close())

    async function expectSilence(asked: Promise<unknown>): Promise<void> {
      const start = performance.now()
      await expect(asked).rejects.toThrow('The S3 store does not answer.')
      expect(performance.now() - start).toBeLessThan(3000)
    }

    it('is known to be so by every request, without a word more, and is used again when it speaks', async () => {
      const id = newId()
      await own.write(id, pieces(small))
      proxy.fail('any', { hang: true }, always)
      const before = proxy.requests.length
      await Promise.all([
        expectSilence(own.write(newId(), pieces(small))),
        expectSilence(own.write(newId(), pieces(large))),
        expectSilence(collect(own.read(id, { start: 0, end: small }))),
        expectSilence(own.delete(id)),
        expectSilence(Array.fromAsync(own.list('aa'))),
        expectSilence(own.check()),
      ])
      // One of each, and one question whether it is there, for all.
      expect(proxy.requests.slice(before).sort()).toEqual(
        ['bucket', 'create', 'delete', 'get', 'list', 'put', 'put'].sort(),
      )
      // Who comes now knows at once.
      const start = performance.now()
      await expectSilence(own.delete(id))
      expect(performance.now() - start).toBeLessThan(600)
      proxy.heal()
      const next = newId()
      await own.write(next, pieces(large))
      await expectWritten(next, large)
      await own.check()
    })

    it('amid an answer, ends the read', async () => {
      const id = newId()
      await own.write(id, pieces(2 * MiB))
      proxy.fail('get', { cutAt: 777_777, ending: 'silence' })
      const read = own.read(id, { start: 0, end: 2 * MiB })[Symbol.asyncIterator]()
      await read.next()
      proxy.fail('any', { hang: true }, always)
      const rest = (async () => {
        while ((await read.next()).done !== true);
      })()
      await expectSilence(rest)
    })

    it('amid an upload, ends that, and the part that is still filled', async () => {
      const started = performance.now()
      const write = own.write(newId(), source())
      async function* source() {
        yield* pieces(9 * MiB)
        proxy.fail('any', { hang: true }, always)
        yield* pieces(20 * MiB)
      }
      await expectSilence(write)
      expect(performance.now() - started).toBeLessThan(5000)
    })

    it('is told from one that is slow, for which a request waits', async () => {
      const slow = await open({ limits: { ...quick, idleMilliseconds: 10_000 } })
      const before = proxy.requests.length
      for (const operation of ['put', 'part', 'complete'] as const) {
        proxy.before(operation, () => sleep(1500))
      }
      const ids = [newId(), newId()]
      await slow.write(ids[0] ?? '', pieces(small))
      await slow.write(ids[1] ?? '', pieces(large))
      await expectWritten(ids[0] ?? '', small)
      await expectWritten(ids[1] ?? '', large)
      const asked = proxy.requests.slice(before)
      expect(asked.filter((one) => one === 'put')).toHaveLength(1)
      expect(asked.filter((one) => one === 'complete')).toHaveLength(1)
      await slow.close()
    })
  })

  describe('a read', () => {
    it.each([
      { name: 'a connection that breaks', fault: { cutAt: 3_000_001, ending: 'close' } },
      { name: 'a connection that falls silent', fault: { cutAt: 777_777, ending: 'silence' } },
      { name: 'an answer that breaks before its body', fault: { cutAt: 0, ending: 'close' } },
      { name: 'a reset', fault: { reset: 'before' } },
      { name: 'a lost answer', fault: { reset: 'after' } },
      { name: 'a silent server', fault: { hang: true } },
      { name: '500', fault: { status: 500, code: 'InternalError' } },
      { name: '503 SlowDown', fault: { status: 503, code: 'SlowDown' } },
    ] as { name: string; fault: Fault }[])('goes on after $name', async ({ fault }) => {
      const id = newId()
      await driver.write(id, pieces(large))
      for (const times of [1, 2]) {
        proxy.fail('get', fault, times)
        expect((await read(id, large - 5, 3)).equals(bytes(large).subarray(3, large - 5))).toBe(
          true,
        )
      }
    })

    it('goes on for as long as each answer brings something', async () => {
      const id = newId()
      await driver.write(id, pieces(2 * MiB))
      proxy.fail('get', { cutAt: 100_000, ending: 'close' }, always)
      expect((await read(id, 2 * MiB)).equals(bytes(2 * MiB))).toBe(true)
    })

    it('gives whole blocks, also after answers that broke amid them', async () => {
      const id = newId()
      await driver.write(id, pieces(2 * MiB))
      proxy.fail('get', { cutAt: 700_001, ending: 'close' }, 2)
      let at = 0
      let amid = 0
      for await (const piece of driver.read(id, { start: 0, end: 2 * MiB })) {
        at += piece.length
        if (at % blockBytes !== 0) amid += 1
      }
      // One for each answer that broke: what came of its last block.
      expect([at, amid]).toEqual([2 * MiB, 2])
    })

    it('fails when answers bring nothing, and does not ask for ever', async () => {
      const id = newId()
      await driver.write(id, pieces(MiB))
      proxy.fail('get', { cutAt: 0, ending: 'close' }, always)
      const before = proxy.requests.length
      await expect(read(id, MiB)).rejects.toThrow('break off at byte 0')
      expect(proxy.requests.length - before).toBe(4)
    })

    it('ends when its blob is deleted amid it', async () => {
      const id = newId()
      await driver.write(id, pieces(2 * MiB))
      proxy.fail('get', { cutAt: MiB, ending: 'close' })
      const reading = driver.read(id, { start: 0, end: 2 * MiB })[Symbol.asyncIterator]()
      await reading.next()
      await driver.delete(id)
      const rest = (async () => {
        while ((await reading.next()).done !== true);
      })()
      await expect(rest).rejects.toMatchObject({ code: 'not-found' })
    })

    it('never mixes two contents', async () => {
      const id = newId()
      await driver.write(id, pieces(2 * MiB))
      const object = { Bucket: place.bucket, Key: `${place.prefix}blobs/${id}` }
      proxy.fail('get', { cutAt: MiB, ending: 'close' })
      const reading = driver.read(id, { start: 0, end: 2 * MiB })[Symbol.asyncIterator]()
      await reading.next()
      await client.send(new PutObjectCommand({ ...object, Body: Buffer.alloc(2 * MiB) }))
      const rest = (async () => {
        while ((await reading.next()).done !== true);
      })()
      await expect(rest).rejects.toMatchObject({ code: 'damaged' })
    })

    it('says that its blob is damaged where that ends before the range does', async () => {
      const id = newId()
      await driver.write(id, pieces(MiB))
      for (const [start, end] of [
        [0, MiB + 1],
        [MiB - 1, 2 * MiB],
        [MiB, MiB + 1],
        [2 * MiB, 3 * MiB],
      ] as const) {
        await expect(read(id, end, start)).rejects.toMatchObject({ code: 'damaged' })
      }
    })

    it('refuses an answer with another range than it asked for', async () => {
      const id = newId()
      await driver.write(id, pieces(MiB))
      proxy.fail('get', { headers: { 'content-range': `bytes 1-${MiB}/${MiB + 1}` } })
      await expect(read(id, MiB)).rejects.toThrow('range')
    })

    it('lets go of its connection when it is left', async () => {
      const id = newId()
      await driver.write(id, pieces(large))
      for (let round = 0; round < 20; round += 1) {
        for await (const _ of driver.read(id, { start: 0, end: large })) break
      }
      expect((await read(id, large)).equals(bytes(large))).toBe(true)
    })
  })

  describe('a check', () => {
    it.each([
      { name: 'silent', fault: { hang: true } },
      { name: 'resetting', fault: { reset: 'before' } },
      { name: 'failing', fault: { status: 500, code: 'InternalError' } },
      { name: 'refusing', fault: { status: 403, code: 'AccessDenied' } },
    ] as { name: string; fault: Fault }[])(
      'rejects while the store is $name',
      async ({ fault }) => {
        proxy.fail('put', fault, always)
        await expect(driver.check()).rejects.toThrow()
        proxy.heal()
        await driver.check()
      },
    )

    it('asks the store every five seconds, and each time after it failed', async () => {
      let now = 0
      const own = await open({ now: () => now })
      const before = proxy.requests.length
      const asked = () => proxy.requests.slice(before).filter((one) => one === 'put').length
      await Promise.all([own.check(), own.check(), own.check()])
      now = 4999
      await own.check()
      expect(asked()).toBe(1)
      now = 5000
      proxy.fail('put', { status: 403, code: 'AccessDenied' }, 2)
      await expect(own.check()).rejects.toThrow()
      await expect(own.check()).rejects.toThrow()
      expect(asked()).toBe(3)
      await own.check()
      await own.check()
      expect(asked()).toBe(4)
      await own.close()
    })
  })

  describe('what tidies up', () => {
    /**
     * As if all uploads had begun so long ago, of a store whose clock goes before ours: by so little
     * that the SDK does not follow.
     */
    const agedBy = (milliseconds: number) => ({
      headers: { date: new Date(Date.now() + fast).toUTCString() },
      body: (text: string) =>
        text.replace(/(<Initiated>)([^<]*)/g, (_, tag: string, time: string) => {
          return `${tag}${new Date(Date.parse(time) + fast - milliseconds).toISOString()}`
        }),
    })

    async function begin(id: string): Promise<string> {
      const object = { Bucket: place.bucket, Key: `${place.prefix}blobs/${id}` }
      const { UploadId = '' } = await client.send(new CreateMultipartUploadCommand(object))
      return UploadId
    }

    it('aborts uploads of more than a day by the clock of the store, and no younger ones', async () => {
      await using own = await openTidied()
      const upload = await begin(newId())
      proxy.fail('uploads', agedBy(24 * hour - minute))
      await own.driver.tidy()
      expect(await unfinished()).toEqual([upload])
      own.pass(hour)
      proxy.fail('uploads', agedBy(24 * hour + minute))
      await own.driver.tidy()
      expect(await unfinished()).toEqual([])
    })

    it('leaves alone what this process still writes', async () => {
      await using own = await openTidied()
      const id = newId()
      const upload = await begin(newId())
      let left: (string | undefined)[] = []
      async function* source() {
        yield* pieces(9 * MiB)
        proxy.fail('uploads', agedBy(25 * hour))
        await own.driver.tidy()
        left = await unfinished()
      }
      await own.driver.write(id, source())
      expect(left).toHaveLength(1)
      expect(left).not.toContain(upload)
      await expectWritten(id, 9 * MiB)
    })

    it('aborts those of which the store does not tell when they began a day after they were seen', async () => {
      await using own = await openTidied()
      const untold = {
        headers: {},
        body: (text: string) => text.replace(/<Initiated>[^<]*<\/Initiated>/g, ''),
      }
      proxy.fail('uploads', untold, always)
      const early = await begin(newId())
      await own.driver.tidy()
      own.pass(hour)
      const late = await begin(newId())
      await own.driver.tidy()
      own.pass(23 * hour)
      await own.driver.tidy()
      expect((await unfinished()).sort()).toEqual([early, late].sort())
      own.pass(minute * 10)
      await own.driver.tidy()
      expect(await unfinished()).toEqual([late])
    })

    it('looks only every ten minutes', async () => {
      await using own = await openTidied()
      const looks = () => proxy.requests.filter((one) => one === 'uploads').length
      const before = looks()
      await own.driver.tidy()
      own.pass(hour / 6 - 1)
      await own.driver.tidy()
      expect(looks() - before).toBe(1)
      own.pass(1)
      await own.driver.tidy()
      expect(looks() - before).toBe(2)
    })

    it('touches nothing where the store does not tell the time', async () => {
      await using own = await openTidied()
      const id = newId()
      const upload = await begin(id)
      const { body } = agedBy(25 * hour)
      proxy.fail('uploads', { body, headers: { date: 'who knows' } })
      await own.driver.tidy()
      expect(await unfinished()).toEqual([upload])
    })

    async function openTidied() {
      let now = 0
      const driver = await open({ now: () => now })
      return {
        driver,
        pass(milliseconds: number) {
          now += milliseconds
        },
        [Symbol.asyncDispose]: () => driver.close(),
      }
    }
  })
})

let ids = 0

function newId(): string {
  ids += 1
  return `${(ids % 256).toString(16).padStart(2, '0')}${ids}x`
}

/** Bytes that tell where they stand. */
function bytes(size: number): Buffer {
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at + 1, 0x9e37_79b1)
  return Buffer.from(words.buffer, 0, size)
}

/** As the intake gives them: in two buffers that are filled again. */
async function* pieces(size: number, failure?: Error): AsyncGenerator<Uint8Array> {
  const content = bytes(size)
  const buffers = [0, 1].map(() => new Uint8Array(new SharedArrayBuffer(pieceBytes)))
  for (let at = 0, count = 0; at < size; at += pieceBytes, count += 1) {
    const buffer = buffers[count % 2] ?? new Uint8Array()
    buffer.fill(0xff)
    const piece = content.subarray(at, at + pieceBytes)
    buffer.set(piece)
    yield buffer.subarray(0, piece.length)
  }
  if (failure !== undefined) throw failure
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}
