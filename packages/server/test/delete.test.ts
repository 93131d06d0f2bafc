import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { type Client, startServer } from './start-server.ts'
import { until } from './until.ts'

const server = await startServer()
afterAll(() => server[Symbol.asyncDispose]())

function remove(client: Client, id: string, init: RequestInit = {}): Promise<Response> {
  return client.fetch(`/v1/files/${id}`, { ...init, method: 'DELETE' })
}

describe('DELETE /v1/files/ID', () => {
  it("answers what the vendor answers, with the vendor's keys in the vendor's order", async () => {
    const client = await server.addTenant()
    const { id } = await client.create()
    const response = await remove(client, id)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(await response.text()).toBe(`{"id":"${id}","object":"file","deleted":true}`)
  })

  it('leaves nothing to be retrieved, read, listed or deleted', async () => {
    const client = await server.addTenant()
    const [gone, other] = [await client.create('gone'), await client.create('other')]
    await remove(client, gone.id)
    for (const response of [
      await client.fetch(`/v1/files/${gone.id}`),
      await client.fetch(`/v1/files/${gone.id}/content`),
      await remove(client, gone.id),
    ]) {
      expect(await readRefusal(response)).toEqual(
        refusal(404, `No such File object: ${gone.id}`, { param: 'id' }),
      )
    }
    expect(await client.list()).toMatchObject({ data: [other], has_more: false })
  })

  it('takes no other file with it, not even one of the same content', async () => {
    const client = await server.addTenant()
    const [gone, other] = [await client.create('same'), await client.create('same')]
    await remove(client, gone.id)
    const response = await client.fetch(`/v1/files/${other.id}/content`)
    expect(await response.text()).toBe('same')
  })

  it('gives the bytes back to the quota', async () => {
    const client = await server.addTenant()
    const { id } = await client.create('seven b')
    await client.create('four')
    expect(await client.usedBytes()).toBe(11)
    await remove(client, id)
    expect(await client.usedBytes()).toBe(4)
  })

  it('makes room for other files', async () => {
    await using small = await startServer({ settings: { COFFER_ORGANIZATION_QUOTA_BYTES: '10' } })
    const { id } = await small.create('ten bytes!')
    expect((await small.upload('1', { purpose: 'user_data' })).status).toBe(400)
    await remove(small, id)
    expect(await small.create('ten bytes!')).toMatchObject({ bytes: 10 })
  })

  it('is done once when many ask for it at the same time', async () => {
    const client = await server.addTenant()
    const { id } = await client.create('seven b')
    await client.create('four')
    const responses = await Promise.all(Array.from({ length: 20 }, () => remove(client, id)))
    const statuses = responses.map((response) => response.status).sort()
    expect(statuses).toEqual([200, ...Array.from({ length: 19 }, () => 404)])
    expect(await client.usedBytes()).toBe(4)
  })

  it('cannot be done to a file that expired', async () => {
    let now = 1_800_000_000
    await using timed = await startServer({ clock: { now: () => now } })
    const { id } = await timed.createFor('batch')
    now += 30 * 24 * 3600
    expect(await readRefusal(await remove(timed, id))).toMatchObject({ status: 404, param: 'id' })
  })
})

describe('the body of a DELETE', () => {
  it('may be announced as JSON and be missing, as the Python SDK has it', async () => {
    const { id } = await server.create()
    const connection = await server.connect()
    connection.write(
      `DELETE /v1/files/${id} HTTP/1.1\r\nHost: coffer\r\n` +
        `Authorization: Bearer ${server.apiKey}\r\nContent-Type: application/json\r\n\r\n`,
    )
    expect((await connection.answer()).status).toBe(200)
  })

  it.each([
    ['empty', ''],
    ['of another type than it says', 'not JSON'],
  ])('may be %s', async (_, body) => {
    const { id } = await server.create()
    const headers = { 'content-type': 'application/json' }
    const response = await remove(server, id, { headers, body })
    expect(response.status).toBe(200)
  })
})

describe('the bytes of a deleted file', () => {
  it('are gone from the disk soon after the answer', async () => {
    await using fresh = await startServer()
    const files = await Promise.all(Array.from({ length: 5 }, () => fresh.create()))
    expect((await fresh.stored()).blobs.length).toBe(5)
    await Promise.all(files.map((file) => remove(fresh, file.id)))
    await until(async () => (await fresh.stored()).looseBlobs === 0)
    expect(await fresh.stored()).toEqual({ blobs: [], files: 0, looseBlobs: 0, usedBytes: 0 })
  })

  it('are gone when the server stops right after the answer', async () => {
    await using stopping = await startServer()
    const files = await Promise.all(Array.from({ length: 20 }, () => stopping.create()))
    await Promise.all(files.map((file) => remove(stopping, file.id)))
    await stopping.stop()
    expect(await stopping.stored()).toEqual({ blobs: [], files: 0, looseBlobs: 0, usedBytes: 0 })
  })
})
