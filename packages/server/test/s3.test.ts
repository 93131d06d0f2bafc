import { randomUUID } from 'node:crypto'
import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { pieceBytes } from '../src/blobs/blob-driver.ts'
import { createBlobStore } from '../src/blobs/blob-store.ts'
import { describeBlobStore } from '../src/blobs/conformance.ts'
import { openS3Driver, type S3Options } from '../src/blobs/s3.ts'
import type { S3Place } from '../src/blobs/s3-store.ts'
import { createUploadMemory, partBytes } from '../src/blobs/upload-memory.ts'
import { startFaultProxy } from './s3-fault-proxy.ts'
import { type S3Server, startS3Server } from './s3-server.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const MiB = 1024 * 1024
const limits = { attempts: 2, connectMilliseconds: 1000, idleMilliseconds: 1000 }

const reason = await whyNoS3Server()

describe.skipIf(reason !== undefined)(reason ?? 'S3', () => {
  let server: S3Server
  let place: S3Place & { endpoint: string }
  let client: S3Client

  beforeAll(async () => {
    server = await startS3Server()
    place = await server.makePlace()
    const { endpoint, credentials } = server
    client = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  })
  afterEach(() => {
    vi.unstubAllEnvs()
  })
  afterAll(async () => {
    client.destroy()
    await server[Symbol.asyncDispose]()
  })

  async function open(options: Partial<S3Options> = {}) {
    const driver = await openS3Driver({ ...place, warn() {}, ...options })
    return { driver, [Symbol.asyncDispose]: () => driver.close() }
  }

  describeBlobStore('blobs in S3', {
    readsOutliveDeletion: false,
    async open() {
      return open(await server.makePlace())
    },
  })

  describe('reads', () => {
    it('whose clients are slow keep nothing else waiting', async () => {
      await using opened = await open()
      const { driver } = opened
      const id = randomUUID()
      await driver.write(id, pieces(4 * MiB))
      // More than there are connections for all else.
      const readers = Array.from({ length: 520 }, () =>
        driver.read(id, { start: 0, end: 4 * MiB })[Symbol.asyncIterator](),
      )
      for (const reader of readers) expect((await reader.next()).done).toBe(false)
      await driver.check()
      await driver.write(randomUUID(), pieces(1000))
      for (const reader of readers) await reader.return?.(undefined)
    })
  })

  describe('a write', () => {
    it('of many others at once takes no more memory than all may, and none fails', async () => {
      const bound = 3 * partBytes
      const memory = createUploadMemory(bound)
      await using opened = await open({ memory })
      const held: number[] = []
      const sizes = Array.from({ length: 24 }, (_, at) => ((at % 4) * 6 + 1) * MiB + at)
      async function* watched(size: number) {
        for await (const piece of pieces(size)) {
          held.push(memory.heldBytes)
          yield piece
        }
      }
      await Promise.all(sizes.map((size, at) => opened.driver.write(`aa${at}y`, watched(size))))
      expect(Math.max(...held)).toBeLessThanOrEqual(bound)
      expect(Math.max(...held)).toBeGreaterThan(2 * partBytes)
      expect(memory.heldBytes).toBe(0)
      for (const [at, size] of sizes.entries()) {
        const read = opened.driver.read(`aa${at}y`, { start: 0, end: size })
        expect((await collect(read)).equals(bytes(size))).toBe(true)
      }
    }, 120_000)

    it('gives its memory back also when it fails', async () => {
      const memory = createUploadMemory(2 * partBytes)
      await using opened = await open({ memory })
      const failure = new Error('The client left.')
      async function* source(size: number) {
        yield* pieces(size)
        throw failure
      }
      const writes = Array.from({ length: 12 }, (_, at) =>
        opened.driver.write(`ab${at}`, source(at * MiB)),
      )
      const outcomes = await Promise.allSettled(writes)
      for (const outcome of outcomes) {
        expect(outcome).toEqual({ status: 'rejected', reason: failure })
      }
      expect(memory.heldBytes).toBe(0)
    })

    it('goes on beside many whose clients send next to nothing, which give way', async () => {
      const memory = createUploadMemory(4 * partBytes, 200)
      await using opened = await open({ memory })
      const { promise: end, resolve: endAll } = Promise.withResolvers<void>()
      let stalled = 0
      async function* stalling(size: number) {
        yield* pieces(size)
        stalled += 1
        await end
        yield* pieces(pieceBytes)
      }
      const few = Array.from({ length: 12 }, (_, at) =>
        opened.driver.write(`ad${at}`, stalling(3 * MiB)),
      )
      const enough = opened.driver.write('ad20', stalling(6 * MiB))
      const slow = Promise.allSettled(few)
      await expect.poll(() => stalled, { timeout: 10_000 }).toBeGreaterThan(8)
      await opened.driver.write('ad21', pieces(40 * MiB))
      // Nothing came of the others' content meanwhile.
      endAll()
      await enough
      const outcomes = await slow
      const cut = outcomes.filter(({ status }) => status === 'rejected')
      expect(cut.length).toBeGreaterThan(0)
      for (const outcome of cut) expect(outcome).toMatchObject({ reason: { code: 'too-slow' } })
      expect(memory.heldBytes).toBe(0)
      const { Uploads = [] } = await client.send(
        new ListMultipartUploadsCommand({ Bucket: place.bucket, Prefix: place.prefix }),
      )
      expect(Uploads).toEqual([])
      const size = 6 * MiB + pieceBytes
      const read = await collect(opened.driver.read('ad20', { start: 0, end: size }))
      expect(read.equals(Buffer.concat([bytes(6 * MiB), bytes(pieceBytes)]))).toBe(true)
    }, 60_000)

    it('of large content wins alone over another of the same id at the same time', async () => {
      await using opened = await open()
      for (let round = 0; round < 5; round += 1) {
        const id = `ac${round}`
        const sizes = [9 * MiB, 10 * MiB]
        const outcomes = await Promise.allSettled(
          sizes.map((size) => opened.driver.write(id, pieces(size))),
        )
        const won = outcomes.findIndex(({ status }) => status === 'fulfilled')
        expect(outcomes[1 - won]).toMatchObject({ reason: { code: 'exists' } })
        const size = sizes[won] ?? 0
        const read = await collect(opened.driver.read(id, { start: 0, end: size }))
        expect(read.equals(bytes(size))).toBe(true)
      }
      const { Uploads = [] } = await client.send(
        new ListMultipartUploadsCommand({ Bucket: place.bucket, Prefix: place.prefix }),
      )
      expect(Uploads).toEqual([])
    })
  })

  describe('the list', () => {
    it('has all blobs where the store gives them by pages', async () => {
      await using opened = await open()
      const ids = Array.from({ length: 1100 }, (_, at) => `da${String(at).padStart(4, '0')}`)
      await Promise.all(ids.map((id) => opened.driver.write(id, pieces(1))))
      expect((await Array.fromAsync(opened.driver.list('da'))).sort()).toEqual(ids)
    })

    it('has nothing that is no blob of ours', async () => {
      await using opened = await open(await server.makePlace())
      await opened.driver.writeMark('mark')
      await opened.driver.check()
      const listed = await Promise.all(
        Array.from({ length: 256 }, (_, at) =>
          Array.fromAsync(opened.driver.list(at.toString(16).padStart(2, '0'))),
        ),
      )
      expect(listed.flat()).toEqual([])
    })
  })

  describe('a link', () => {
    it('gives the blob to who has no key, under its name and type, for minutes at most', async () => {
      await using opened = await open()
      const store = createBlobStore(opened.driver)
      await opened.driver.write('ba01', pieces(1000))
      const url = await store.link?.('ba01', {
        contentDisposition: 'attachment; filename="a.bin"',
        contentType: 'application/x-test',
        seconds: 86_400,
      })
      const answer = await fetch(url ?? '')
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-disposition')).toBe('attachment; filename="a.bin"')
      expect(answer.headers.get('content-type')).toBe('application/x-test')
      expect(Buffer.from(await answer.arrayBuffer()).equals(bytes(1000))).toBe(true)
      expect(new URL(url ?? '').searchParams.get('x-amz-expires')).toBe(null)
      expect(new URL(url ?? '').searchParams.get('X-Amz-Expires')).toBe('300')
      const other = (url ?? '').replace('ba01', 'ba02')
      expect((await fetch(other)).status).toBe(403)
      const named = (url ?? '').replace('a.bin', 'b.bin')
      expect((await fetch(named)).status).toBe(403)
    })
  })

  describe('a bucket that keeps versions', () => {
    it('is told of, and keeps none of a blob that was deleted', async () => {
      const versioned = await server.makePlace()
      await client.send(
        new PutBucketVersioningCommand({
          Bucket: versioned.bucket,
          VersioningConfiguration: { Status: 'Enabled' },
        }),
      )
      const warnings: string[] = []
      await using opened = await open({ ...versioned, warn: (text) => void warnings.push(text) })
      expect(warnings).toEqual([expect.stringContaining(`${versioned.bucket} keeps versions`)])
      for (const size of [10, 9 * MiB]) {
        await opened.driver.write(`ca${size}`, pieces(size))
        await opened.driver.delete(`ca${size}`)
        await opened.driver.delete(`ca${size}`)
      }
      await opened.driver.check()
      await opened.driver.check()
      const { Versions = [], DeleteMarkers = [] } = await client.send(
        new ListObjectVersionsCommand({ Bucket: versioned.bucket }),
      )
      expect([...Versions, ...DeleteMarkers].map(({ Key }) => Key)).toEqual([])
    })
  })

  describe('opening a bucket', () => {
    it('leaves nothing in it', async () => {
      const fresh = await server.makePlace()
      await using opened = await open(fresh)
      await opened.driver.tidy()
      const { Contents = [] } = await client.send(
        new ListObjectsV2Command({ Bucket: fresh.bucket, Prefix: fresh.prefix }),
      )
      expect(Contents).toEqual([])
    })

    it('says nothing of a bucket that is as it should be', async () => {
      const warnings: string[] = []
      await using _ = await open({ warn: (text) => void warnings.push(text) })
      expect(warnings).toEqual([])
    })

    it('says that a bucket does not exist', async () => {
      const bucket = `coffer-${randomUUID()}`
      await expect(open({ bucket })).rejects.toThrow(
        `The bucket ${bucket} does not exist: make it, or name another.`,
      )
    })

    it('says that credentials are not accepted', async () => {
      for (const credentials of [
        { accessKeyId: server.credentials.accessKeyId, secretAccessKey: 'wrong' },
        { accessKeyId: 'nobody', secretAccessKey: 'wrong' },
      ]) {
        await expect(open({ credentials })).rejects.toThrow(
          `The credentials for the bucket ${place.bucket} are not accepted`,
        )
      }
    })

    it('says that there are no credentials, and looks for none beyond this machine', async () => {
      vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
      vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null')
      vi.stubEnv('AWS_CONFIG_FILE', '/dev/null')
      const { credentials: _, ...anonymous } = place
      await expect(openS3Driver({ ...anonymous, warn() {} })).rejects.toThrow(
        `There are no credentials for the bucket ${place.bucket}`,
      )
    })

    it('takes credentials from the environment', async () => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', server.credentials.accessKeyId)
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.credentials.secretAccessKey)
      const { credentials: _, ...anonymous } = place
      const driver = await openS3Driver({ ...anonymous, warn() {} })
      await driver.check()
      await driver.close()
    })

    it('says that the bucket is in another region, and in which', async () => {
      await expect(open({ region: 'eu-west-9' })).rejects.toThrow(
        `The bucket ${place.bucket} is in another region (us-east-1): name that in the URL.`,
      )
    })

    it('says that the region is not known', async () => {
      vi.stubEnv('AWS_REGION', undefined)
      vi.stubEnv('AWS_CONFIG_FILE', '/dev/null')
      const { endpoint: _, ...amazon } = place
      await expect(openS3Driver({ ...amazon, endpoint: undefined, warn() {} })).rejects.toThrow(
        `The region of the bucket ${place.bucket} is not known: name it in the URL, or set AWS_REGION.`,
      )
    })

    it('says that nobody answers', async () => {
      const proxy = await startFaultProxy(server.endpoint)
      await proxy[Symbol.asyncDispose]()
      const { endpoint } = proxy
      await expect(open({ endpoint, limits })).rejects.toThrow(
        `${endpoint} with the bucket ${place.bucket} cannot be reached (ECONNREFUSED)`,
      )
    })

    it.each(['put', 'delete', 'list', 'create'] as const)(
      'says what must be allowed where %s is denied',
      async (operation) => {
        await using proxy = await startFaultProxy(server.endpoint)
        proxy.fail(operation, { status: 403, code: 'AccessDenied' }, 9)
        await expect(open({ endpoint: proxy.endpoint, limits })).rejects.toThrow(
          `Access to the bucket ${place.bucket} is denied: allow s3:`,
        )
      },
    )

    it('goes on without conditions where the store does not know them', async () => {
      await using proxy = await startFaultProxy(server.endpoint)
      proxy.before('list', async () => {
        proxy.fail('put', { status: 501, code: 'NotImplemented' })
      })
      const warnings: string[] = []
      const { endpoint } = proxy
      await using opened = await open({ endpoint, warn: (text) => void warnings.push(text) })
      expect(warnings).toEqual([expect.stringContaining('does not refuse to replace objects')])
      const writes = [1, 2].map((size) => opened.driver.write('ea01', pieces(size)))
      const outcomes = await Promise.allSettled(writes)
      expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { reason: { code: 'exists' } }])
      const again = opened.driver.write('ea01', pieces(3))
      await expect(again).rejects.toMatchObject({ code: 'exists' })
    })
  })
})

/** Bytes that tell where they stand. */
function bytes(size: number): Buffer {
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at + 1, 0x9e37_79b1)
  return Buffer.from(words.buffer, 0, size)
}

async function* pieces(size: number): AsyncGenerator<Uint8Array> {
  const content = bytes(size)
  for (let at = 0; at < size; at += pieceBytes) yield content.subarray(at, at + pieceBytes)
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}
