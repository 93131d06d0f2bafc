import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startServer } from '../../server/test/start-server.ts'
import type { TestStores } from '../../server/test/test-stores.ts'
import { whyNoS3Server } from '../../server/test/why-no-s3-server.ts'
import { runFake } from './fake-io.ts'
import { ask, complete, type Filled, fill, look, readSum, sendTus } from './filled-store.ts'
import { findStoreFaults, noStoreFaults } from './many-servers.ts'
import { type Kind, makePair, nameOf } from './pairs-of-stores.ts'

const why = await whyNoS3Server()
const title = 'coffer migrate'

const ways: [Kind, Kind][] = [
  ['SQLite and a disk', 'PostgreSQL and S3'],
  ['PostgreSQL and S3', 'SQLite and a disk'],
  ['SQLite and S3', 'PostgreSQL and a disk'],
  ['PostgreSQL and a disk', 'SQLite and S3'],
  ['SQLite and a disk', 'SQLite and a disk'],
  ['PostgreSQL and S3', 'PostgreSQL and S3'],
]

function migrate(from: TestStores, to: TestStores, ...more: string[]) {
  return runFake(['migrate', '--from', nameOf(from), '--to', nameOf(to), ...more])
}

const noFaults = { ...noStoreFaults }

describe.skipIf(why !== undefined)(why === undefined ? title : `${title} (${why})`, () => {
  it.each(ways)('moves all that a server keeps from %s to %s', async (from, to) => {
    await using source = await makePair(from)
    await using target = await makePair(to)
    const filled = await fill(source)
    const before = await lookAt(source, filled)

    const made = await migrate(source, target)
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toMatch(/: 21 files, 19\.\d MiB; 19\.\d MiB copied now\n$/)
    expect(await findStoreFaults(target)).toEqual(noFaults)
    expect(await target.query('select * from servers')).toEqual([])
    expect(await lookAt(target, filled)).toEqual(before)
    await goOn(target, filled)
    expect(await findStoreFaults(target)).toEqual(noFaults)
    // Nothing was changed where it came from.
    expect(await lookAt(source, filled)).toEqual(before)
  })
})

/** What a server that starts on the stores gives out, without a warning. */
async function lookAt(stores: TestStores, filled: Filled) {
  await using server = await startServer({ stores, settings: { COFFER_READ_ONLY: 'true' } })
  const seen = await look(server.url, filled)
  expect(server.logs.filter(({ level }) => Number(level) > 30)).toEqual([])
  const used = await stores.query('select id, used_bytes from organizations order by id')
  return { seen, used }
}

/** Does at a server what clients were in the middle of, and what they do next. */
async function goOn(stores: TestStores, { keys, upload, tus, deleted }: Filled): Promise<void> {
  const [created] = await stores.query<{ created_at: number }>(
    'select max(created_at) as created_at from files',
  )
  // In the same second, so that only the order of numbers tells which came last.
  const clock = { now: () => created?.created_at ?? 0 }
  await using server = await startServer({ stores, clock })
  const asking = { url: server.url, key: keys[0] ?? '' }
  const last = await server.create('the last')
  const { data } = await server.list('order=desc&limit=1')
  expect(data.map(({ id }) => id)).toEqual([last.id])

  const completed = await complete(asking, upload.id, upload.parts)
  const { file } = z.object({ file: z.object({ id: z.string() }) }).parse(await completed.json())
  expect(await readSum(asking, file.id)).toBe(upload.sum)

  const offset = tus.rest.length
  expect((await sendTus(asking, tus.path, { offset, body: tus.rest })).status).toBe(204)
  const sums = []
  for (const { id } of (await server.list('order=desc&limit=3')).data) {
    sums.push(await readSum(asking, id))
  }
  expect(sums).toContain(tus.sum)
  expect((await ask(asking, `/v1/files/${deleted}`)).status).toBe(404)
  expect((await ask(asking, `/v1/files/${file.id}`, { method: 'DELETE' })).status).toBe(200)
  await server.stop()
}
