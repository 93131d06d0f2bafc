import { describe, expect, it } from 'vitest'
import { failure, readRefusal } from './answers.ts'
import { makeStores } from './make-stores.ts'
import { startServer } from './start-server.ts'

describe('a server that is read-only', () => {
  it('gives out what is there and refuses all changes, before it reads them', async () => {
    await using stores = await makeStores()
    const { id, expiring, upload } = await fill(stores)
    const soon = Math.floor(Date.now() / 1000) + 4000
    await using server = await startServer({
      stores,
      clock: { now: () => soon },
      settings: { COFFER_READ_ONLY: 'true', COFFER_SWEEP_SECONDS: '1' },
    })
    const before = await server.stored()
    expect((await server.list()).data.map((file) => file.id)).toEqual([id])
    expect(await (await server.fetch(`/v1/files/${id}/content`)).text()).toBe('content')
    expect((await server.fetch(`/v1/uploads/${upload}`)).status).toBe(200)

    const form = () => {
      const body = new FormData()
      body.set('purpose', 'user_data')
      body.set('file', new Blob(['more']), 'b')
      return body
    }
    const tus = { 'tus-resumable': '1.0.0' }
    const changes: [string, RequestInit][] = [
      ['/v1/files', { method: 'POST', body: form() }],
      ['/v1/files/check', { method: 'POST', body: form() }],
      [`/v1/files/${id}`, { method: 'DELETE' }],
      ['/v1/uploads', { method: 'POST', body: '{}' }],
      [`/v1/uploads/${upload}/parts`, { method: 'POST', body: form() }],
      [`/v1/uploads/${upload}/complete`, { method: 'POST', body: '{}' }],
      [`/v1/uploads/${upload}/cancel`, { method: 'POST' }],
      ['/v1/tus', { method: 'POST', headers: tus }],
      [`/v1/tus/${upload}`, { method: 'PATCH', headers: tus, body: 'x' }],
      [`/v1/tus/${upload}`, { method: 'DELETE', headers: tus }],
      ...['OPTIONS', 'POST'].map((method): [string, RequestInit] => {
        const headers = { ...tus, 'x-http-method-override': 'DELETE' }
        return [`/v1/tus/${upload}`, { method, headers }]
      }),
    ]
    for (const [path, init] of changes) {
      const refused = await readRefusal(await server.fetch(path, init))
      expect(refused, `${init.method} ${path}`).toEqual(
        failure(503, 'The server takes no changes now: it is read-only. Please try again later.'),
      )
    }
    // A sweep would have taken the file that has expired.
    expect(await server.stored()).toEqual(before)
    expect(await server.query('select id from files where id = ?', expiring)).toHaveLength(1)
    expect((await server.fetch('/readyz')).status).toBe(200)
  })
})

async function fill(stores: Awaited<ReturnType<typeof makeStores>>) {
  await using server = await startServer({ stores })
  const { id } = await server.create('content')
  const expiring = await server.create('content', {
    purpose: 'user_data',
    'expires_after[anchor]': 'created_at',
    'expires_after[seconds]': '3600',
  })
  const answer = await server.fetch('/v1/uploads', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ filename: 'a', purpose: 'user_data', mime_type: 'a/b', bytes: 10 }),
  })
  const upload = (await answer.json()) as { id: string }
  await server.stop()
  return { id, expiring: expiring.id, upload: upload.id }
}
