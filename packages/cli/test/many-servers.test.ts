import { randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePostgresS3Stores } from '../../server/test/postgres-s3-stores.ts'
import type { TestStores } from '../../server/test/test-stores.ts'
import { whyNoS3Server } from '../../server/test/why-no-s3-server.ts'
import { inspect, nothingWrong } from './inspection.ts'
import { nothingAcknowledged, sha256, someBytes, startLoad } from './load.ts'
import { findStoreFaults, noStoreFaults, startOn } from './many-servers.ts'
import type { Coffer } from './start-coffer.ts'
import { uploadClientOf } from './upload-client.ts'

const KiB = 1024
const why = await whyNoS3Server()
const title = 'servers on one PostgreSQL and one S3'

describe.skipIf(why !== undefined)(why === undefined ? title : `${title} (${why})`, () => {
  it('lose and double nothing under load while one of them is killed again and again', async () => {
    await using stores = await makePostgresS3Stores()
    const env = { COFFER_SWEEP_SECONDS: '1' }
    const known = nothingAcknowledged()
    const load = { writers: 3, content: () => someBytes(randomInt(200 * KiB)), deleted: 1 / 3 }
    let interrupted = 0
    {
      await using one = await startOn(stores, env)
      await using other = await startOn(stores, env)
      const lasting = [one, other].map((server) => startLoad(server, known, load))
      for (let kill = 1; kill <= 3; kill += 1) {
        await using third = await startOn(stores, env)
        const writing = startLoad(third, known, load)
        await writing.acknowledged(15)
        await setTimeout(randomInt(50))
        await third.kill()
        interrupted += await writing.ended
      }
      await Promise.all([one.stop(), other.stop()])
      await Promise.all(lasting.map(({ ended }) => ended))
    }
    expect(interrupted).toBeGreaterThan(0)

    await using one = await startOn(stores, env)
    await using other = await startOn(stores, env)
    const seen = [await inspect(one, known), await inspect(other, known)]
    expect(seen.map(({ findings }) => findings)).toEqual([nothingWrong, nothingWrong])
    expect(seen[1]?.listed).toEqual(seen[0]?.listed)
    expect(new Set(seen[0]?.listed).size).toBe(seen[0]?.listed.length)
    await Promise.all([one.stop(), other.stop()])
    expect(await findStoreFaults(stores)).toEqual(noStoreFaults)
    console.log(
      `two servers and a third: ${known.stored.size + known.deleted.size} files acknowledged, ` +
        `${known.deleted.size} deleted, ${interrupted} requests cut; 0 lost`,
    )
  })

  describe('that run side by side', () => {
    const quota = 1000 * KiB
    let stores: TestStores
    let one: Coffer
    let other: Coffer

    beforeAll(async () => {
      stores = await makePostgresS3Stores()
      const env = { COFFER_ORGANIZATION_QUOTA_BYTES: String(quota) }
      one = await startOn(stores, env)
      other = await startOn(stores, env)
    })
    afterAll(async () => {
      await Promise.all([one.stop(), other.stop()])
      expect(await findStoreFaults(stores)).toEqual(noStoreFaults)
      await stores[Symbol.asyncDispose]()
    })

    const remove = (server: Coffer, id: string) =>
      server.fetch(`/v1/files/${id}`, { method: 'DELETE' })

    it('show at once what another has acknowledged', async () => {
      for (let round = 0; round < 50; round += 1) {
        const [writer, reader] = round % 2 === 0 ? [one, other] : [other, one]
        const content = someBytes(round * 400)
        const { id } = await json<{ id: string }>(writer.upload(content))
        const answer = await reader.fetch(`/v1/files/${id}/content`)
        expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(sha256(content))
        const { data } = await json<{ data: { id: string }[] }>(reader.fetch('/v1/files?limit=1'))
        expect(data).toMatchObject([{ id }])
        expect((await remove(reader, id)).status).toBe(200)
        expect((await writer.fetch(`/v1/files/${id}`)).status).toBe(404)
        expect((await remove(writer, id)).status).toBe(404)
      }
    })

    it('keep one quota, to the byte', async () => {
      for (let round = 0; round < 4; round += 1) {
        let most = 0
        let isOver = false
        const watching = (async () => {
          while (!isOver) most = Math.max(most, await usedBytes(stores))
        })()
        const answers = await Promise.all(
          Array.from({ length: 32 }, (_, at) => {
            const server = at % 2 === 0 ? one : other
            return server.upload(someBytes(quota / 10))
          }),
        )
        isOver = true
        await watching
        expect(most).toBeLessThanOrEqual(quota)
        const statuses = answers.map(({ status }) => status)
        expect(statuses.filter((status) => status === 200)).toHaveLength(10)
        expect(statuses.filter((status) => status === 400)).toHaveLength(22)
        expect(await usedBytes(stores)).toBe(quota)
        const { data } = await json<{ data: { id: string }[] }>(other.fetch('/v1/files'))
        await Promise.all(data.map(({ id }, at) => remove(at % 2 === 0 ? other : one, id)))
        expect(await usedBytes(stores)).toBe(0)
      }
    })

    it('take the parts of one Upload by turns, and complete it once', async () => {
      const [first, second] = [uploadClientOf(one), uploadClientOf(other)]
      for (let round = 0; round < 5; round += 1) {
        const contents = Array.from({ length: 6 }, () => someBytes(10 * KiB))
        const id = await first.begin(60 * KiB)
        const parts = await Promise.all(
          contents.map((content, at) => (at % 2 === 0 ? first : second).send(id, content)),
        )
        const ids = parts.map((part) => part.id)
        const files = await Promise.all(
          Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? first : second).complete(id, ids)),
        )
        expect(new Set(files.map((file) => file.id)).size).toBe(1)
        const [file] = files
        expect(await second.download(file?.id ?? '')).toEqual(Buffer.concat(contents))
        expect(await usedBytes(stores)).toBe(60 * KiB)
        await remove(other, file?.id ?? '')
      }
    })

    it('let either a completion or a cancellation of an Upload win', async () => {
      const outcomes = new Set<string>()
      for (let round = 0; round < 10; round += 1) {
        const uploads = uploadClientOf(one)
        const id = await uploads.begin(10)
        const part = await uploads.send(id, someBytes(10))
        const finish = one.fetch(`/v1/uploads/${id}/complete`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ part_ids: [part.id] }),
        })
        const cancel = other.fetch(`/v1/uploads/${id}/cancel`, { method: 'POST' })
        const [finished, cancelled] = await Promise.all([finish, cancel])
        expect([finished.status, cancelled.status].sort()).toEqual([200, 400])
        const { file } = await json<{ file: { id: string } | null }>(one.fetch(`/v1/uploads/${id}`))
        expect(file === null).toBe(cancelled.status === 200)
        outcomes.add(finished.status === 200 ? 'completed' : 'cancelled')
        if (file !== null) await remove(other, file.id)
        expect(await usedBytes(stores)).toBe(0)
      }
      console.log(`complete against cancel: ${[...outcomes].join(', ')}`)
    })

    it('are refused with bytes in a folder, which only one of them would have', async () => {
      const { COFFER_METADATA_URL = '' } = stores.settings
      const settings = { COFFER_METADATA_URL, COFFER_BLOBS_URL: 'memory:' }
      await expect(startOn({ ...stores, settings })).rejects.toThrow(
        'in use by another Coffer, and only servers whose bytes are in S3 can share it',
      )
    })
  })
})

async function json<Body>(answer: Promise<Response>): Promise<Body> {
  return (await (await answer).json()) as Body
}

async function usedBytes({ query }: TestStores): Promise<number> {
  const [row] = await query<{ used: number }>('select sum(used_bytes) as used from organizations')
  return row?.used ?? Number.NaN
}
