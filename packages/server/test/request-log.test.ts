import { describe, expect, it } from 'vitest'
import { createHead } from './form-body.ts'
import { startServer, type TestServer } from './start-server.ts'

const MiB = 1024 * 1024

/** The lines that say of a request what became of it. */
function requestsOf({ logs }: TestServer) {
  return logs.filter(({ msg }) => msg === 'request')
}

describe('the log has one line', () => {
  it('for a request that was answered', async () => {
    await using server = await startServer()
    const logged = server.logged('request')
    await server.fetch('/v1/files/none')
    expect(await logged).toMatchObject({ method: 'GET', url: '/v1/files/none', status: 404 })
    await server.stop()
    expect(requestsOf(server)).toHaveLength(1)
    expect(await logged).not.toHaveProperty('cut')
  })

  it('for a download that the client cut', async () => {
    await using server = await startServer()
    const { id } = await server.create(new Uint8Array(24 * MiB))
    const connection = await server.connect()
    const head = createHead(server.apiKey).replace('POST /v1/files', `GET /v1/files/${id}/content`)
    connection.write(head)
    expect(await connection.head()).toMatchObject({ status: 200 })
    const logged = server.logged('request')
    connection.socket.resetAndDestroy()
    const url = `/v1/files/${id}/content`
    expect(await logged).toMatchObject({ method: 'GET', url, status: 200, cut: true })
    await server.stop()
    expect(requestsOf(server)).toHaveLength(2)
  })

  it('for an upload that the client cut', async () => {
    await using server = await startServer()
    const connection = await server.connect()
    const type = 'Content-Type: multipart/form-data; boundary=cut-here'
    const head = createHead(server.apiKey, type, 'Content-Length: 100', 'Expect: 100-continue')
    connection.write(head)
    expect(await connection.head()).toMatchObject({ status: 100 })
    const logged = server.logged('request')
    connection.socket.resetAndDestroy()
    expect(await logged).toMatchObject({ method: 'POST', url: '/v1/files', status: 499 })
    await server.stop()
    expect(requestsOf(server)).toHaveLength(1)
  })
})
