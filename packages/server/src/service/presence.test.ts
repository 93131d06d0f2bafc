import { describe, expect, it } from 'vitest'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { createPresence, type Presence } from './presence.ts'

describe('a server', () => {
  it('shares the parts with the others, each part to one of them', async () => {
    await using stores = await openShared()
    const servers = ['a', 'b', 'c'].map((id) => stores.join(id))
    for (const server of [...servers, ...servers]) await server.renew()
    for (const parts of [256, 2, 1, 0]) {
      const mine = servers.flatMap((server) => {
        const { from, to } = server.share(parts)
        return Array.from({ length: to - from }, (_, at) => from + at)
      })
      expect(mine).toEqual(Array.from({ length: parts }, (_, at) => at))
    }
  })

  it('has all parts while it knows of no other', async () => {
    await using stores = await openShared()
    const server = stores.join('a')
    expect(server.share(256)).toEqual({ from: 0, to: 256 })
    await server.renew()
    expect(server.share(256)).toEqual({ from: 0, to: 256 })
  })

  it('that gives no sign while another looks again and again is gone, with what it was writing', async () => {
    await using stores = await openShared()
    const [one, other] = [stores.join('a'), stores.join('b')]
    await other.renew()
    await stores.loosen('aa01', 'b')
    for (let look = 0; look < 6; look += 1) await one.renew()
    expect(one.share(2)).toEqual({ from: 0, to: 1 })
    expect(await stores.sweepable()).toEqual([])
    await one.renew()
    expect(one.share(2)).toEqual({ from: 0, to: 2 })
    expect(await stores.sweepable()).toEqual(['aa01'])
    expect(other.lapses()).toBe(0)
    await other.renew()
    expect(other.lapses()).toBe(1)
    await other.renew()
    expect(other.lapses()).toBe(1)
  })

  it('that gives signs is never gone', async () => {
    await using stores = await openShared()
    const [one, other] = [stores.join('a'), stores.join('b')]
    for (let look = 0; look < 30; look += 1) {
      await one.renew()
      if (look % 5 === 0) await other.renew()
    }
    expect([one.lapses(), other.lapses()]).toEqual([0, 0])
    expect(one.share(2)).toEqual({ from: 0, to: 1 })
  })

  it('that leaves is gone at once', async () => {
    await using stores = await openShared()
    const [one, other] = [stores.join('a'), stores.join('b')]
    await other.renew()
    await stores.loosen('aa01', 'b')
    await other.leave()
    expect(await stores.sweepable()).toEqual(['aa01'])
    await one.renew()
    expect(one.share(2)).toEqual({ from: 0, to: 2 })
  })

  it('that has the stores for itself takes all former ones for gone', async () => {
    await using stores = await openShared()
    const former = stores.join('a')
    await former.renew()
    await stores.loosen('aa01', 'a')
    await stores.join('b', { isShared: false }).renew()
    expect(await stores.sweepable()).toEqual(['aa01'])
  })
})

async function openShared() {
  const metadata = await openSqliteStore(':memory:')
  const all = {
    ...{ share: { from: '', to: '~' }, after_id: '', limit: 10 },
    ...{ restored_before: 0, history: null },
  }
  return {
    join: (server_id: string, { isShared = true } = {}): Presence =>
      createPresence({ metadata, server_id, isShared }),
    loosen: (blob_id: string, server_id: string) =>
      metadata.addLooseBlobs({ blob_ids: [blob_id], sweep_after: 1_000_000, server_id }),
    /** What the sweep of a further server may have. */
    sweepable: () => metadata.takeSweepableBlobs({ ...all, now: 1, server_id: 'further' }),
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}
