import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePostgresS3Stores } from './postgres-s3-stores.ts'
import { startServer, type TestServer } from './start-server.ts'
import type { TestStores } from './test-stores.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const why = await whyNoS3Server()
const title = 'a download that is redirected to S3'

describe.skipIf(why !== undefined)(why === undefined ? title : `${title} (${why})`, () => {
  let stores: TestStores
  let server: TestServer

  beforeAll(async () => {
    stores = await makePostgresS3Stores()
    server = await startServer({ stores, settings: { COFFER_DOWNLOADS: 'redirect' } })
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await stores[Symbol.asyncDispose]()
  })

  const ask = (id: string, init: RequestInit = {}) =>
    server.fetch(`/v1/files/${id}/content`, { redirect: 'manual', ...init })
  /** As clients do it: without the key where the link leads. */
  const follow = (id: string, headers: Record<string, string> = {}) =>
    fetch(`${server.url}/v1/files/${id}/content`, {
      headers: { authorization: `Bearer ${server.apiKey}`, ...headers },
    })
  const content = Buffer.alloc(300_000, 'redirected ')

  it('leads to the content, with its name and type, for any client that follows', async () => {
    const { id } = await server.create(content, { purpose: 'user_data' }, 'né "x".bin')
    const answer = await ask(id)
    expect(answer.status).toBe(302)
    expect(answer.headers.get('cache-control')).toBe('private, no-store')
    // Whoever has the link needs no key.
    const direct = await fetch(answer.headers.get('location') ?? '')
    expect(Buffer.from(await direct.arrayBuffer()).equals(content)).toBe(true)
    const streamed = await ask(id, { headers: { 'if-range': '"another"' } })
    for (const name of ['content-disposition', 'content-type', 'content-length']) {
      expect(direct.headers.get(name), name).toBe(streamed.headers.get(name))
    }
    const followed = await follow(id)
    expect(Buffer.from(await followed.arrayBuffer()).equals(content)).toBe(true)
  })

  it('keeps ranges, and what a generated client asks for', async () => {
    const { id } = await server.create(content)
    const range = await follow(id, { range: 'bytes=5-9' })
    expect([range.status, await range.text()]).toEqual([206, content.toString('utf8', 5, 10)])
    const text = await follow(id, { accept: 'application/json' })
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  })

  it('is given only to the owner, and not where nothing has changed or there is no such range', async () => {
    const { id, sha256 } = await server.create(content)
    const other = await server.addTenant()
    const foreign = await other.fetch(`/v1/files/${id}/content`, { redirect: 'manual' })
    expect(foreign.status).toBe(404)
    const same = await ask(id, { headers: { 'if-none-match': `"${sha256}"` } })
    expect(same.status).toBe(304)
    const beyond = await ask(id, { headers: { range: 'bytes=999999-' } })
    expect(beyond.status).toBe(416)
  })

  it('is none for HEAD, and for content of several parts', async () => {
    const { id } = await server.create(content)
    const head = await ask(id, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '300000'])

    const about = { filename: 'a', purpose: 'user_data', mime_type: 'text/plain', bytes: 200 }
    const post = async (path: string, body: object | FormData) => {
      const isForm = body instanceof FormData
      const answer = await server.fetch(`/v1/uploads${path}`, {
        method: 'POST',
        body: isForm ? body : JSON.stringify(body),
        headers: isForm ? {} : { 'content-type': 'application/json' },
      })
      return (await answer.json()) as { id: string; file: { id: string } }
    }
    const upload = await post('', about)
    const part_ids: string[] = []
    for (const letter of ['a', 'b']) {
      const form = new FormData()
      form.set('data', new Blob([letter.repeat(100)]))
      part_ids.push((await post(`/${upload.id}/parts`, form)).id)
    }
    const { file } = await post(`/${upload.id}/complete`, { part_ids })
    const answer = await ask(file.id)
    expect([answer.status, await answer.text()]).toEqual([200, 'a'.repeat(100) + 'b'.repeat(100)])
  })
})
