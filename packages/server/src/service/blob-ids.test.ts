import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { createBlobIds } from './blob-ids.ts'
import { createIds } from './ids.ts'

const start = 1_700_000_000
const hour = 3600
const day = 24 * hour

describe('ids for blobs', () => {
  it('are all different, however many ask for one at once', async () => {
    await using coffer = await open()
    const many = await Promise.all(Array.from({ length: 200 }, () => coffer.next()))
    expect(new Set(many).size).toBe(200)
  })

  it('are listed as loose when they are given, and left to their upload for a day', async () => {
    await using coffer = await open()
    const given = await Promise.all(Array.from({ length: 40 }, () => coffer.next()))
    expect(await coffer.looseAt(start + day - 1)).toEqual([])
    expect(await coffer.looseAt(start + day)).toEqual(expect.arrayContaining(given))
  })

  it('are not given any more when they were listed an hour ago', async () => {
    await using coffer = await open()
    await coffer.next()
    coffer.clock.time = start + hour - 1
    const stillGood = await coffer.next()
    coffer.clock.time = start + hour
    const fresh = await coffer.next()
    const old = await coffer.looseAt(start + day)
    expect(old).toContain(stillGood)
    expect(old).not.toContain(fresh)
  })

  it('are not given any more when others took this server for gone', async () => {
    await using coffer = await open()
    await coffer.next()
    const { looseAt, presence } = coffer
    const listed = await looseAt(start + day)
    presence.lapsed += 1
    expect(listed).not.toContain(await coffer.next())
  })

  it('are asked for again when they could not be listed', async () => {
    await using coffer = await open()
    const { addLooseBlobs } = coffer.metadata
    let failures = 1
    const failing: MetadataStore = {
      ...coffer.metadata,
      async addLooseBlobs(blobs) {
        failures -= 1
        if (failures >= 0) throw new Error('The disk failed.')
        return addLooseBlobs(blobs)
      },
    }
    const ids = createBlobIds({ ...coffer, metadata: failing })
    await expect(Promise.all([ids.next(), ids.next()])).rejects.toThrow('The disk failed.')
    const id = await ids.next()
    expect(await coffer.looseAt(start + day)).toContain(id)
  })
})

async function open() {
  const metadata = await openSqliteStore(':memory:')
  const clock = { time: start, now: () => clock.time }
  const ids = createIds(randomBytes)
  const presence = { server_id: 'server_1', lapsed: 0, lapses: () => presence.lapsed }
  return {
    ...createBlobIds({ metadata, clock, ids, presence }),
    metadata,
    clock,
    ids,
    presence,
    looseAt: (now: number) =>
      metadata.takeSweepableBlobs({
        ...{ now, after_id: '', limit: 1000, restored_before: 0, history: null },
        ...{ server_id: 'server_1', share: { from: '', to: '~' } },
      }),
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}
