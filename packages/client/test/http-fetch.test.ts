import { once } from 'node:events'
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
    expect((await ask(server)).status).toBe(200)
    expect(other.requests[0]?.headers).toMatchObject({ 'x-own': 'kept' })
    expect(other.requests[0]?.headers).not.toHaveProperty('authorization')
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
