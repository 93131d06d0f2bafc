import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { httpFetch } from '../src/node.ts'
import { type ScriptedServer, someFile, startScript } from './scripted-server.ts'

const headers = { authorization: 'Bearer sk-test', 'x-own': 'kept' }

function redirect(location: string, status = 302) {
  return { status, headers: { location } }
}

function ask(server: ScriptedServer, init: RequestInit = {}): Promise<Response> {
  return httpFetch(`${server.host}/files`, { method: 'GET', headers, ...init })
}

/** A server that answers every connection with the same, whatever that is. */
async function startTcp(answer: string) {
  const left = Promise.withResolvers<void>()
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('close', () => left.resolve())
    socket.once('data', () => socket.write(answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    /** Once the client has closed its connection. */
    left: left.promise,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

describe.concurrent('httpFetch', () => {
  it('gives the status, each header and the body', async () => {
    await using server = await startScript((response) => {
      response.writeHead(418, ['x-twice', 'a', 'X-Twice', 'b']).end('short')
    })
    const response = await ask(server)
    expect(response.status).toBe(418)
    expect(response.headers.get('x-twice')).toBe('a, b')
    expect(await response.text()).toBe('short')
  })

  it.for([301, 302, 303, 307, 308])('follows a %i to where it points', async (status) => {
    await using server = await startScript(redirect('other?a=b', status), { body: someFile })
    expect(await (await ask(server)).json()).toEqual(someFile)
    expect(server.requests.map(({ url }) => url)).toEqual(['/v1/files', '/v1/other?a=b'])
    expect(server.requests[1]?.headers).toMatchObject(headers)
  })

  it('does not tell another server the key', async () => {
    await using other = await startScript({ body: someFile })
    await using server = await startScript(redirect(`${other.host}/there`))
    const secrets = { cookie: 'session=secret', 'proxy-authorization': 'Basic x', host: 'inner' }
    const found = await ask(server, { headers: { ...headers, ...secrets } })
    expect(found.status).toBe(200)
    expect(other.requests[0]?.headers).toMatchObject({ 'x-own': 'kept' })
    for (const name of ['authorization', 'cookie', 'proxy-authorization']) {
      expect(other.requests[0]?.headers).not.toHaveProperty(name)
    }
    expect(other.requests[0]?.headers.host).not.toBe('inner')
  })

  it('gives up after five redirects', async () => {
    await using server = await startScript(...Array(7).fill(redirect('again')))
    await expect(ask(server)).rejects.toThrow('too many redirects')
    expect(server.requests).toHaveLength(6)
  })

  it('leaves the redirect of an upload to its caller', async () => {
    await using server = await startScript(redirect('other', 307))
    expect((await ask(server, { method: 'POST', body: 'x' })).status).toBe(307)
    expect(server.requests).toHaveLength(1)
  })

  it('follows one where no method is said', async () => {
    await using server = await startScript(redirect('other'), { body: someFile })
    expect((await httpFetch(`${server.host}/files`)).status).toBe(200)
  })

  it.for([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('decodes %s, which it has not asked for', async ([encoding, encode]) => {
    const body = encode(Buffer.from('content'))
    await using server = await startScript({ headers: { 'content-encoding': encoding }, body })
    expect(await (await ask(server)).text()).toBe('content')
    expect(server.requests[0]?.headers['accept-encoding']).toBe('identity')
  })

  it('rejects where what is encoded breaks off', async () => {
    const body = gzipSync(Buffer.alloc(1000)).subarray(0, 15)
    await using server = await startScript({ headers: { 'content-encoding': 'gzip' }, body })
    await expect((await ask(server)).text()).rejects.toThrow('unexpected end of file')
  })

  it.for([101, 600])('rejects an answer of the status %i, and leaves', async (status) => {
    await using server = await startTcp(`HTTP/1.1 ${status} Odd\r\nUpgrade: odd\r\n\r\n`)
    await expect(httpFetch(server.url)).rejects.toThrow()
    await server.left
  })

  it.for([204, 205, 304])('gives an answer of the status %i, which has no body', async (status) => {
    await using server = await startScript({ status })
    const response = await ask(server)
    expect([response.status, await response.text()]).toEqual([status, ''])
  })

  it.for([3, 5])('does not send %i bytes where 4 are announced', async (bytes) => {
    await using server = await startScript()
    const body = new Blob(['x'.repeat(bytes)]).stream()
    const init = { method: 'POST', body, headers: { 'content-length': '4' } }
    await expect(ask(server, init)).rejects.toThrow()
    expect(server.requests).toEqual([])
  })

  it('speaks TLS to https', async () => {
    await using server = await startScript()
    await expect(httpFetch(server.host.replace('http:', 'https:'))).rejects.toThrow(/SSL|TLS/)
  })

  it('closes the connection of an answer that is not wanted', async () => {
    const left = Promise.withResolvers<void>()
    await using server = await startScript(async (response) => {
      response.writeHead(200, { 'content-length': '10' }).write('half ')
      await once(response, 'close')
      left.resolve()
    })
    await (await ask(server)).body?.cancel()
    await left.promise
  })

  it('rejects with the reason of its signal, before the answer and within', async () => {
    const reason = new Error('Enough.')
    await using server = await startScript(
      () => controllers[0]?.abort(reason),
      (response) => void response.writeHead(200, { 'content-length': '10' }).write('half '),
    )
    const controllers = [new AbortController(), new AbortController()]
    const [first, second] = controllers
    await expect(ask(server, { signal: first?.signal ?? null })).rejects.toBe(reason)
    const response = await ask(server, { signal: second?.signal ?? null })
    const text = response.text()
    second?.abort(reason)
    await expect(text).rejects.toBe(reason)
  })
})
