/** That the stores of tests tell the truth of PostgreSQL and S3. */

import { CreateMultipartUploadCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openS3Driver } from '../src/blobs/s3.ts'
import { makePostgresS3Stores } from './postgres-s3-stores.ts'
import type { TestStores } from './test-stores.ts'
import { until } from './until.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const MiB = 1024 * 1024
/** More than the buffers of a connection hold. */
const size = 24 * MiB
const reason = await whyNoS3Server()

describe.skipIf(reason !== undefined)(reason ?? 'stores in PostgreSQL and S3', () => {
  let stores: TestStores
  let client: S3Client
  let place: { Bucket: string; Prefix: string }

  beforeAll(async () => {
    stores = await makePostgresS3Stores()
    const url = new URL(stores.settings.COFFER_BLOBS_URL ?? '')
    place = { Bucket: url.hostname, Prefix: url.pathname.slice(1) }
    const endpoint = url.searchParams.get('endpoint') ?? ''
    client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true })
  })
  afterAll(async () => {
    client.destroy()
    await stores[Symbol.asyncDispose]()
  })

  const objectOf = (id: string) => ({ Bucket: place.Bucket, Key: `${place.Prefix}blobs/${id}` })

  it('give rows as other databases do', async () => {
    await stores.query('create table words (word text, count bigint)')
    await stores.query('insert into words values (?, ?), (?, 2)', 'one', 4_000_000_000, 'two')
    expect(await stores.query('select word, count from words where count > ?', 2)).toEqual([
      { word: 'one', count: 4_000_000_000 },
    ])
    const sums = 'select count(*) as "words", sum(count) as "sum" from words'
    expect(await stores.query(sums)).toEqual([{ words: 2, sum: 4_000_000_002 }])
    await expect(stores.query('select nothing')).rejects.toThrow('does not exist')
  })

  it('list what is whole and what is not, and nothing else', async () => {
    await client.send(new PutObjectCommand({ ...objectOf('bb1'), Body: 'whole' }))
    await client.send(new CreateMultipartUploadCommand(objectOf('aa2')))
    const mark = { Bucket: place.Bucket, Key: `${place.Prefix}STORE` }
    await client.send(new PutObjectCommand({ ...mark, Body: 'mark' }))
    expect(await stores.listBlobs()).toEqual(['aa2', 'bb1'])
    await stores.removeBlob('bb1')
    expect(await stores.listBlobs()).toEqual(['aa2'])
    await expect(stores.removeBlob('bb1')).rejects.toThrow()
    await expect(stores.replaceBlob('bb1', new Uint8Array(1))).rejects.toThrow()
  })

  it('tell how often a blob is being read', async () => {
    await client.send(new PutObjectCommand({ ...objectOf('cc3'), Body: Buffer.alloc(size) }))
    const { endpoint } = client.config
    if (endpoint === undefined) throw new Error('The client has no endpoint.')
    const { protocol, hostname, port = 80 } = await endpoint()
    const driver = await openS3Driver({
      ...{ bucket: place.Bucket, prefix: place.Prefix, region: undefined, pathStyle: true },
      ...{ endpoint: `${protocol}//${hostname}:${port}`, warn() {} },
    })
    await using _closing = { [Symbol.asyncDispose]: () => driver.close() }
    const begin = async () => {
      const reading = driver.read('cc3', { start: 0, end: size })[Symbol.asyncIterator]()
      await reading.next()
      return reading
    }
    expect(await stores.timesRead('cc3')).toBe(0)
    const [left, ended] = [await begin(), await begin()]
    expect(await stores.timesRead('cc3')).toBe(2)
    expect(await stores.timesRead('cc4')).toBe(0)
    await left.return?.()
    await until(async () => (await stores.timesRead('cc3')) === 1)
    while ((await ended.next()).done !== true);
    await until(async () => (await stores.timesRead('cc3')) === 0)
  })

  it('are gone once they are lost', async () => {
    await using other = await makePostgresS3Stores()
    const Bucket = new URL(other.settings.COFFER_BLOBS_URL ?? '').hostname
    const put = new PutObjectCommand({ Bucket, Key: 'coffer/blobs/dd4', Body: 'content' })
    await client.send(put)
    await other.loseBlobs()
    await expect(client.send(put)).rejects.toThrow()
  })
})
