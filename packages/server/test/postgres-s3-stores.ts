/** PostgreSQL and S3, as several servers share them: a database and a bucket for each test. */

import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3'
import { Pool, types } from 'pg'
import { lend } from './lend.ts'
import { observeRequests } from './observe-requests.ts'
import { givenS3Server, type S3Access, s3ServerAt } from './s3-server.ts'
import { makeDatabase } from './test-database.ts'
import type { TestStores } from './test-stores.ts'

export async function makePostgresS3Stores(): Promise<TestStores> {
  await using made = new AsyncDisposableStack()
  const database = made.use(await makeDatabase())
  const server = givenS3Server() ?? s3ServerAt(await lend<S3Access>('s3'))
  const place = await server.makePlace()
  let isLost = false
  made.defer(async () => {
    if (!isLost) await server.removePlace(place)
  })
  const { endpoint, credentials, bucket, prefix } = place
  // Where the SDK looks for them, here and in the processes that this one starts.
  process.env['AWS_ACCESS_KEY_ID'] = credentials.accessKeyId
  process.env['AWS_SECRET_ACCESS_KEY'] = credentials.secretAccessKey
  const region = place.region ?? 'us-east-1'
  const client = made.adopt(
    new S3Client({ endpoint, credentials, region, forcePathStyle: true }),
    (opened) => opened.destroy(),
  )
  const pool = made.adopt(
    new Pool({ connectionString: database.url, max: 4, types: { getTypeParser } }),
    (opened) => opened.end(),
  )
  // Also told by the query, if there is one.
  pool.on('error', () => {})
  const blobs = `${prefix}blobs/`
  const objectOf = (id: string) => ({ Bucket: bucket, Key: `${blobs}${id}` })
  const idOf = ({ Key = '' }) => Key.slice(blobs.length)
  const requireBlob = (id: string) => client.send(new HeadObjectCommand(objectOf(id)))
  const reads = made.use(observeRequests(({ method }) => method === 'GET'))

  const kept = made.move()
  return {
    settings: {
      COFFER_METADATA_URL: database.url,
      COFFER_BLOBS_URL: `s3://${bucket}/${prefix}?${new URLSearchParams({
        ...{ region, endpoint, pathStyle: 'true' },
      })}`,
    },
    async query<Row>(sql: string, ...values: (string | number)[]) {
      let count = 0
      const numbered = sql.replaceAll('?', () => {
        count += 1
        return `$${count}`
      })
      return (await pool.query(numbered, values)).rows as Row[]
    },
    async listBlobs() {
      const at = { Bucket: bucket, Prefix: blobs }
      // Before the objects, so that none is missed that becomes one meanwhile.
      const { Uploads = [], IsTruncated } = await client.send(new ListMultipartUploadsCommand(at))
      if (IsTruncated === true) throw new Error('There are more uploads than one page lists.')
      const pages = await Array.fromAsync(paginateListObjectsV2({ client }, at))
      const objects = pages.flatMap(({ Contents = [] }) => Contents)
      return [...new Set([...objects, ...Uploads].map(idOf))].sort()
    },
    async replaceBlob(id, content) {
      await requireBlob(id)
      await client.send(new PutObjectCommand({ ...objectOf(id), Body: content }))
    },
    async removeBlob(id) {
      await requireBlob(id)
      await client.send(new DeleteObjectCommand(objectOf(id)))
    },
    async loseBlobs() {
      await server.removePlace(place)
      isLost = true
    },
    async timesRead(id) {
      return reads.running().filter(({ path }) => pathnameOf(path).endsWith(`/${blobs}${id}`))
        .length
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** Of a test all counts are small enough to be numbers, which is what other databases give. */
function getTypeParser(oid: number, format?: 'text' | 'binary') {
  if (oid === types.builtins.INT8 || oid === types.builtins.NUMERIC) return Number
  return types.getTypeParser(oid, format)
}

function pathnameOf(path: string): string {
  return decodeURIComponent(new URL(path, 'http://localhost').pathname)
}
