import { randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { uploadHalf } from '../../packages/cli/test/half-upload.ts'
import { inspect, nothingWrong } from '../../packages/cli/test/inspection.ts'
import { nothingAcknowledged, someBytes, startLoad } from '../../packages/cli/test/load.ts'
import { findStoreFaults, noStoreFaults, startOn } from '../../packages/cli/test/many-servers.ts'
import { makePostgresS3Stores } from '../../packages/server/test/postgres-s3-stores.ts'
import { freeze } from './frozen-process.ts'
import { report, tries } from './length.ts'

const KiB = 1024
const env = { COFFER_SWEEP_SECONDS: '1' }
const load = { writers: 4, content: () => someBytes(randomInt(200 * KiB)), deleted: 1 / 3 }

/** As long as it takes until the others know for sure: six looks, ten seconds apart, and a bit. */
const goneSeconds = 90

it('a server that stands still loses what it was writing, and nothing else, and goes on', async () => {
  await using stores = await makePostgresS3Stores()
  await using one = await startOn(stores, env)
  await using other = await startOn(stores, env)
  await using killed = await startOn(stores, env)
  const before = await (await other.upload(someBytes(300 * KiB))).json()
  const upload = await uploadHalf(other)
  await uploadHalf(killed)
  const servers = () => stores.query<{ id: string }>('select id from servers')
  expect(await servers()).toHaveLength(3)

  await killed.kill()
  await freeze(other.pid)
  await untilHolds(async () => (await servers()).length === 1)
  const [{ count } = { count: Number.NaN }] = await stores.query<{ count: number }>(
    'select count(*) as count from loose_blobs where server_id not in (select id from servers)',
  )
  expect(count).toBe(0)
  other.signal('SIGCONT')

  // Its bytes are swept, so it is refused, and what comes later is stored.
  await expect(upload.finish()).rejects.toThrow()
  const after = await (await other.upload(someBytes(300 * KiB))).json()
  for (const { id } of [before, after]) {
    expect((await one.fetch(`/v1/files/${id}/content`)).status).toBe(200)
  }
  await untilHolds(async () => (await servers()).length === 2)
  await Promise.all([one.stop(), other.stop()])
  expect(await servers()).toEqual([])
  expect(await findStoreFaults(stores)).toMatchObject({ missing: [], doubled: [], miscounted: [] })
})

it('two servers under load lose and double nothing while a third dies again and again', async () => {
  const kills = tries({ short: 10, long: 60 })
  await using stores = await makePostgresS3Stores()
  const known = nothingAcknowledged()
  {
    await using one = await startOn(stores, env)
    await using other = await startOn(stores, env)
    const lasting = [one, other].map((server) => startLoad(server, known, load))
    for (let kill = 0; kill < kills; kill += 1) {
      await using third = await startOn(stores, env)
      const writing = startLoad(third, known, load)
      await writing.acknowledged(randomInt(40))
      await setTimeout(randomInt(100))
      await third.kill()
      await writing.ended
    }
    await Promise.all([one.stop(), other.stop()])
    await Promise.all(lasting.map(({ ended }) => ended))
  }
  await using one = await startOn(stores, env)
  const { findings } = await inspect(one, known)
  expect(findings).toEqual(nothingWrong)
  await one.stop()
  expect(await findStoreFaults(stores)).toEqual(noStoreFaults)
  report(
    'P35',
    `${kills} kills: ${known.stored.size + known.deleted.size} files acknowledged, ` +
      `${known.deleted.size} deleted; 0 lost`,
  )
})

async function untilHolds(check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + goneSeconds * 1000
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`Not within ${goneSeconds} seconds.`)
    await setTimeout(500)
  }
}
