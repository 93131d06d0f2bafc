import type { UploadPurpose } from '@coffer/contract'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { type Client, startServer } from './start-server.ts'

const start = 1_800_000_000
let now = start
const server = await startServer({ clock: { now: () => now } })
afterAll(() => server[Symbol.asyncDispose]())

const unknownId = 'file-2222222222222222222222'

/** Creates files one after the other and gives their ids, oldest first. */
async function createMany(
  client: Client,
  count: number,
  purpose: UploadPurpose = 'evals',
): Promise<string[]> {
  const ids: string[] = []
  for (let at = 0; at < count; at += 1) ids.push((await client.createFor(purpose)).id)
  return ids
}

async function idsOf(client: Client, query: string): Promise<string[]> {
  return (await client.list(query)).data.map((file) => file.id)
}

async function refusalOf(client: Client, query: string) {
  return readRefusal(await client.fetch(`/v1/files?${query}`))
}

async function remove(client: Client, id: string): Promise<void> {
  const response = await client.fetch(`/v1/files/${id}`, { method: 'DELETE' })
  expect(response.status).toBe(200)
}

describe('a page of GET /v1/files', () => {
  it('has all five keys and null ids when it is empty', async () => {
    const client = await server.addTenant()
    const response = await client.fetch('/v1/files')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(await response.text()).toBe(
      '{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}',
    )
  })

  it('has the files as they were created, and the ids of its ends', async () => {
    const client = await server.addTenant()
    const older = await client.create('older')
    const newer = await client.create('newer')
    expect(await client.list()).toEqual({
      object: 'list',
      data: [newer, older],
      first_id: newer.id,
      last_id: older.id,
      has_more: false,
    })
  })

  it('has the newest first, or the oldest first when asked to', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 3)
    now += 1
    ids.push(...(await createMany(client, 3)))
    expect(await idsOf(client, 'order=asc')).toEqual(ids)
    expect(await idsOf(client, 'order=desc')).toEqual(ids.toReversed())
    expect(await idsOf(client, '')).toEqual(ids.toReversed())
  })

  it('has 10000 files unless told otherwise', async () => {
    const client = await server.addTenant()
    // So many uploads would take a minute.
    await server.query(
      `with recursive counter (n) as (select 1 union all select n + 1 from counter where n < 10001)
      insert into files
        (id, organization_id, project_id, purpose, filename, bytes, sha256, encoding, created_at)
      select 'file-' || n, ?, ?, 'evals', 'x', 0, '', 'utf-8', n from counter`,
      client.organization_id,
      client.project_id,
    )
    const page = await client.list()
    expect(page.data.length).toBe(10_000)
    expect(page).toMatchObject({ first_id: 'file-10001', last_id: 'file-2', has_more: true })
  })

  it('says that more follows only if it does', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 6)
    for (const [limit, after, has_more] of [
      [5, '', true],
      [6, '', false],
      [7, '', false],
      [3, '', true],
      [3, ids[3], false],
      [2, ids[3], true],
    ] as const) {
      const page = await client.list(`limit=${limit}&after=${after}`)
      expect(page.has_more).toBe(has_more)
    }
  })

  it('has no file that expired', async () => {
    const client = await server.addTenant()
    const fields = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '3600' }
    const mortal = await client.createFor('evals', fields)
    const [lasting = ''] = await createMany(client, 1)
    now += 3599
    expect(await idsOf(client, '')).toEqual([lasting, mortal.id])
    now += 1
    expect(await idsOf(client, '')).toEqual([lasting])
  })
})

describe('the limit', () => {
  it.each([1, 2, 10_000])('may be %i', async (limit) => {
    const client = await server.addTenant()
    const ids = await createMany(client, 3)
    expect(await idsOf(client, `order=asc&limit=${limit}`)).toEqual(ids.slice(0, limit))
  })

  it.each([
    ['0', 'below minimum value. Expected a value >= 1, but got 0'],
    ['-1', 'below minimum value. Expected a value >= 1, but got -1'],
    ['10001', 'above maximum value. Expected a value <= 10000, but got 10001'],
  ])('may not be %s', async (limit, fault) => {
    expect(await refusalOf(server, `limit=${limit}`)).toEqual(
      refusal(400, `Invalid 'limit': integer ${fault} instead.`),
    )
  })

  it.each(['many', '1.5', '1e3', '0x10', '', ' 1', '99999999999999999999'])(
    "may not be '%s'",
    async (limit) => {
      expect(await refusalOf(server, `limit=${encodeURIComponent(limit)}`)).toEqual(
        refusal(400, `Invalid type for 'limit': expected an integer, but got '${limit}' instead.`),
      )
    },
  )
})

describe('the order', () => {
  it.each(['', 'ASC', 'newest'])("may not be '%s'", async (order) => {
    expect(await refusalOf(server, `order=${order}`)).toEqual(
      refusal(400, `Invalid value: '${order}'. Supported values are: 'asc' and 'desc'.`),
    )
  })
})

describe('the purpose', () => {
  const uploaded = ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] as const
  const produced = ['assistants_output', 'batch_output', 'fine-tune-results']

  it('chooses the files that have it', async () => {
    const client = await server.addTenant()
    for (const purpose of uploaded) await client.createFor(purpose)
    for (const purpose of uploaded) {
      const { data } = await client.list(`purpose=${purpose}`)
      expect(data.map((file) => file.purpose)).toEqual([purpose])
    }
    for (const purpose of produced) expect(await idsOf(client, `purpose=${purpose}`)).toEqual([])
  })

  it('chooses none when it is empty', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 2)
    expect(await idsOf(client, 'purpose=&order=asc')).toEqual(ids)
  })

  it('counts before has_more is told', async () => {
    const client = await server.addTenant()
    await createMany(client, 2, 'evals')
    await createMany(client, 2, 'vision')
    expect(await client.list('purpose=evals&limit=2')).toMatchObject({ has_more: false })
    expect(await client.list('purpose=evals&limit=1')).toMatchObject({ has_more: true })
  })

  it.each(['nonsense', 'EVALS', 'evals ', 'toString'])("may not be '%s'", async (purpose) => {
    const known = [...uploaded, ...produced].map((name) => `'${name}'`).join(', ')
    expect(await refusalOf(server, `purpose=${encodeURIComponent(purpose)}`)).toEqual(
      refusal(400, `'${purpose}' is not one of [${known}] - 'purpose'`, { param: 'purpose' }),
    )
  })

  it('is checked before the cursor', async () => {
    const refused = await refusalOf(server, `after=${unknownId}&purpose=nonsense`)
    expect(refused).toMatchObject({ status: 400, param: 'purpose' })
  })
})

describe('the query', () => {
  it('may have keys that nobody knows', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 2)
    expect(await idsOf(client, 'order=asc&before=x&__proto__=y&limit[]=0')).toEqual(ids)
  })

  it('counts the last value of a key that is repeated', async () => {
    const client = await server.addTenant()
    await createMany(client, 1, 'vision')
    const ids = await createMany(client, 2, 'evals')
    const query = 'purpose=vision&purpose=evals&limit=0&limit=9&order=desc&order=asc'
    expect(await idsOf(client, query)).toEqual(ids)
  })
})

describe('the cursor', () => {
  it('begins a page behind its file, in both orders', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 5)
    expect(await idsOf(client, `order=asc&after=${ids[1]}`)).toEqual(ids.slice(2))
    expect(await idsOf(client, `after=${ids[1]}`)).toEqual([ids[0]])
  })

  it('at the last file gives an empty page', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 2)
    expect(await client.list(`after=${ids[0]}`)).toEqual({
      object: 'list',
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    })
  })

  it('means the first page when it is empty', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 2)
    expect(await idsOf(client, 'order=asc&after=')).toEqual(ids)
  })

  it('may be a file of another purpose', async () => {
    const client = await server.addTenant()
    const [older = ''] = await createMany(client, 1, 'evals')
    const [middle = ''] = await createMany(client, 1, 'vision')
    await createMany(client, 1, 'evals')
    expect(await idsOf(client, `purpose=evals&after=${middle}`)).toEqual([older])
  })

  it('may be a file that was deleted in the meantime', async () => {
    const client = await server.addTenant()
    const ids = await createMany(client, 3)
    await remove(client, ids[1] ?? '')
    expect(await idsOf(client, `order=asc&after=${ids[1]}`)).toEqual([ids[2]])
    expect(await idsOf(client, `after=${ids[1]}`)).toEqual([ids[0]])
  })

  it('may not be a file that never was', async () => {
    expect(await refusalOf(server, `after=${unknownId}`)).toEqual(
      refusal(404, `No such File object: ${unknownId}`, { param: 'after' }),
    )
  })

  it('may not be the file of another, which looks as if it never was', async () => {
    const client = await server.addTenant()
    const other = await server.addTenant()
    const [living = '', deleted = ''] = await createMany(other, 2)
    await remove(other, deleted)
    const never = await refusalOf(client, `after=${unknownId}`)
    for (const id of [living, deleted]) {
      const foreign = await refusalOf(client, `after=${id}`)
      expect(foreign).toEqual({ ...never, message: never.message.replace(unknownId, id) })
    }
  })
})

describe('a walk from page to page', () => {
  const walk = fc.record({
    order: fc.constantFrom('asc', 'desc'),
    limit: fc.integer({ min: 1, max: 7 }),
    /** What others do after each page. */
    changes: fc.array(
      fc.record({
        created: fc.nat(2),
        deletesCursor: fc.boolean(),
        /** Files of others, by their place among all that they have. */
        deleted: fc.array(fc.nat(30), { maxLength: 2 }),
        seconds: fc.nat(1),
      }),
      { maxLength: 40 },
    ),
  })

  it('meets each file that stays once, whatever comes and goes meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(walk, async ({ order, limit, changes }) => {
        const client = await server.addTenant()
        const staying: string[] = []
        const passing: string[] = []
        for (let at = 0; at < 6; at += 1) {
          staying.push(...(await createMany(client, 1)))
          passing.push(...(await createMany(client, 1)))
        }

        const met: string[] = []
        let after = ''
        for (let page = 0; ; page += 1) {
          const { data, last_id, has_more } = await client.list(
            `order=${order}&limit=${limit}&after=${after}`,
          )
          met.push(...data.map((file) => file.id))
          after = last_id ?? ''
          if (!has_more) break
          const { created = 0, deletesCursor, deleted = [], seconds = 0 } = changes[page] ?? {}
          now += seconds
          passing.push(...(await createMany(client, created)))
          const doomed = new Set(deleted.map((place) => passing[place]))
          if (deletesCursor && passing.includes(after)) doomed.add(after)
          for (const id of doomed) {
            if (id === undefined) continue
            await remove(client, id)
            passing.splice(passing.indexOf(id), 1)
          }
        }

        expect(new Set(met).size).toBe(met.length)
        const wanted = order === 'asc' ? staying : staying.toReversed()
        expect(met.filter((id) => staying.includes(id))).toEqual(wanted)
      }),
      { numRuns: 20 },
    )
  })
})
