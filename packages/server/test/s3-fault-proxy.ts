/** Stands between an S3 client and a server, and does to requests what networks and stores do. */

import { once } from 'node:events'
import {
  request as ask,
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { createFaultPlan, type FaultPlan } from './fault-plan.ts'

/** What a request asks of the store. */
export type Operation =
  | ('put' | 'create' | 'part' | 'complete' | 'abort' | 'parts' | 'uploads')
  | ('list' | 'get' | 'head' | 'delete' | 'bucket')

export type Fault =
  /** The connection is reset: before the store sees anything, amid the body, after it has answered. */
  | { readonly reset: 'before' | 'amid' | 'after' }
  /** The store is silent, and sees nothing. */
  | { readonly hang: true }
  /** The answer is one of an error, and the store sees nothing. */
  | { readonly status: number; readonly code: string }
  /** A byte of the body is another when the store gets it. */
  | { readonly damage: true }
  /** Of the body of the answer only so much comes, then the connection is closed, or silent. */
  | { readonly cutAt: number; readonly ending: 'close' | 'silence' }
  /** The answer says something else than the store does. */
  | { readonly headers: Record<string, string>; body?(text: string): string }

export interface FaultProxy
  extends FaultPlan<Operation, Operation | 'any', Fault>,
    AsyncDisposable {
  readonly endpoint: string
}

export async function startFaultProxy(endpoint: string): Promise<FaultProxy> {
  const plan = createFaultPlan<Operation, Operation | 'any', Fault>(
    (came, wanted) => wanted === 'any' || came === wanted,
  )

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = await plan.arrive(operationOf(request))
    if (fault !== undefined && 'hang' in fault) return
    if (fault !== undefined && 'reset' in fault && fault.reset === 'before') {
      request.socket.resetAndDestroy()
      return
    }
    const body = await bodyOf(request, fault)
    if (body === undefined) return
    if (fault !== undefined && 'status' in fault) {
      response.writeHead(fault.status, { 'content-type': 'application/xml' })
      response.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code></Error>`)
      return
    }
    await forward(request, body, { response, fault })
  }

  async function forward(
    { method, url, headers, socket }: IncomingMessage,
    body: Buffer,
    { response, fault }: { response: ServerResponse; fault: Fault | undefined },
  ): Promise<void> {
    const upstream = ask(new URL(url ?? '/', endpoint), { method, headers })
    // After the answer, of a store that has read enough of the body to refuse it and leaves. Before, `once` tells.
    upstream.on('error', () => {})
    upstream.end(body)
    const [answer] = (await once(upstream, 'response')) as [IncomingMessage]
    const content = Buffer.concat(await Array.fromAsync(answer))
    if (fault !== undefined && 'headers' in fault && fault.body !== undefined) {
      const changed = fault.body(content.toString())
      const length = String(Buffer.byteLength(changed))
      response.writeHead(answer.statusCode ?? 500, {
        ...{ ...answer.headers, 'content-length': length, ...fault.headers },
      })
      response.end(changed)
      return
    }
    if (fault !== undefined && 'reset' in fault) {
      socket.resetAndDestroy()
      return
    }
    const changed = fault !== undefined && 'headers' in fault ? fault.headers : {}
    // The length is kept, as it says how much is missing.
    response.writeHead(answer.statusCode ?? 500, { ...answer.headers, ...changed })
    if (fault === undefined || !('cutAt' in fault)) {
      response.end(content)
      return
    }
    response.write(content.subarray(0, fault.cutAt), () => {
      if (fault.ending === 'close') socket.destroy()
    })
  }

  const listener: RequestListener = (request, response) => {
    handle(request, response).catch(() => request.socket.destroy())
  }
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  return {
    ...plan,
    endpoint: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await once(server.close(), 'close')
    },
  }
}

/** Undefined where the connection was reset meanwhile. */
async function bodyOf(request: IncomingMessage, fault?: Fault): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  for await (const chunk of request) {
    chunks.push(chunk)
    if (fault !== undefined && 'reset' in fault && fault.reset === 'amid') {
      request.socket.resetAndDestroy()
      return undefined
    }
  }
  const body = Buffer.concat(chunks)
  if (fault !== undefined && 'damage' in fault) body[0] = (body[0] ?? 0) ^ 1
  return body
}

function operationOf({ method, url = '/' }: IncomingMessage): Operation {
  const { pathname, searchParams: query } = new URL(url, 'http://localhost')
  const isBucket = pathname.split('/').filter((part) => part !== '').length < 2
  if (query.has('uploads')) return method === 'POST' ? 'create' : 'uploads'
  if (query.has('uploadId')) {
    const names = { PUT: 'part', POST: 'complete', DELETE: 'abort', GET: 'parts' } as const
    return names[method as keyof typeof names]
  }
  if (query.has('list-type')) return 'list'
  if (isBucket) return 'bucket'
  const names = { PUT: 'put', GET: 'get', HEAD: 'head', DELETE: 'delete' } as const
  return names[method as keyof typeof names]
}
