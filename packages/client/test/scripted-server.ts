/** A server that answers as a test tells it to, one request after the other. */

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { ApiClient, Configuration, type ConfigurationOptions, FilesApi } from '../src/index.ts'
import { testFetch } from './test-fetch.ts'

export interface SeenRequest {
  readonly method: string
  /** The path with its query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** By `performance.now()`, when it was there as a whole. */
  readonly time: number
}

export interface ScriptedAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as JSON. */
  readonly body?: string | Uint8Array | object
}

/** What is done with one request: an answer, or all that HTTP and sockets can do. */
export type Act =
  | ScriptedAnswer
  | ((response: ServerResponse, request: SeenRequest) => void | Promise<void>)

export interface ScriptedServer extends AsyncDisposable {
  /** The host for a Configuration. */
  readonly host: string
  readonly requests: SeenRequest[]
  /** Closes all connections, whatever is on its way on them. */
  breakConnections(): void
  api(options?: ConfigurationOptions): FilesApi
}

/** A file as Coffer's answers have it. */
export const someFile = {
  object: 'file',
  id: 'file-1',
  purpose: 'user_data',
  filename: 'file.bin',
  bytes: 7,
  created_at: 4_000_000_000,
  expires_at: null,
  status: 'processed',
  status_details: null,
}

/** Breaks the connection in place of an answer. */
export function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy()
}

/** Leaves the request without an answer. */
export function beSilent(): void {}

/** Each act is for one request; whoever asks more often gets 418, which is not sent again. */
export async function startScript(...acts: Act[]): Promise<ScriptedServer> {
  const requests: SeenRequest[] = []

  async function answer(request: SeenRequest, response: ServerResponse): Promise<void> {
    const act = acts[requests.length - 1] ?? { status: 418, body: 'This was not scripted.' }
    if (typeof act === 'function') return act(response, request)
    const { status = 200, headers = {}, body = '' } = act
    const isPlain = typeof body === 'string' || body instanceof Uint8Array
    response.writeHead(status, {
      ...(isPlain ? {} : { 'content-type': 'application/json' }),
      ...headers,
    })
    response.end(isPlain ? body : JSON.stringify(body))
  }

  const server = createServer(async (incoming, response) => {
    // A request that is cut off is of no interest to a script.
    const body = await buffer(incoming).catch(() => undefined)
    if (body === undefined) return
    const { method = '', url = '', headers } = incoming
    const request = { method, url, headers, body, time: performance.now() }
    requests.push(request)
    await answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return {
    host,
    requests,
    breakConnections: () => server.closeAllConnections(),
    api(options = {}) {
      const facts = { host, accessToken: 'sk-test', fetch: testFetch }
      return new FilesApi(new ApiClient(new Configuration({ ...facts, ...options })))
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
