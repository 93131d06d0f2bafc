/** Stands between a PostgreSQL client and a server, and does to statements what networks do. */

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createFaultPlan, type FaultPlan, type FaultSource } from './fault-plan.ts'
import {
  createFramer,
  failingQuery,
  fatalError,
  type Message,
  readStatement,
} from './postgres-messages.ts'

/** `before` the server sees the statement, or `after` it has done it, so that nobody knows. */
type Moment = 'before' | 'after'

export type PostgresFault =
  /** The connection is reset for both. */
  | { readonly reset: Moment }
  /** No byte passes any more. The server keeps its session, as it does when a network is parted. */
  | { readonly hang: Moment }
  | { readonly delay: Moment; readonly milliseconds: number }
  /** The answer is this error, which is as real to the server and to its transaction. */
  | { readonly sqlState: string }
  /** Of the answer only so many bytes come, then the connection is closed, or silent. */
  | { readonly cutAt: number; readonly ending: 'close' | 'silence' }

/** Every statement in its words, or `connect` for the beginning of a session until it is ready. */
export type Wanted = 'connect' | RegExp

export interface PostgresFaultProxy
  extends FaultPlan<string, Wanted, PostgresFault>,
    AsyncDisposable {
  /** As that of the server, but for host and port. */
  readonly url: string
  /** Resets all connections. */
  cut(): void
  /** Lets no byte pass on any connection, new ones too, until it thaws. */
  freeze(): void
  thaw(): void
  /** Refuses new connections, as when nothing listens, until it accepts them again. */
  refuse(): void
  accept(): Promise<void>
}

/** With TLS it reads nothing of what passes: then only whole connections can be harmed. */
export async function startPostgresFaultProxy(url: string): Promise<PostgresFaultProxy> {
  const target = new URL(url)
  const plan = createFaultPlan<string, Wanted, PostgresFault>((came, wanted) =>
    wanted === 'connect' ? came === wanted : came !== 'connect' && wanted.test(came),
  )
  const sockets = new Set<Socket>()
  let isFrozen = false

  const open = (port: number) =>
    createServer((client) => {
      const upstream = connect(Number(target.port || 5432), target.hostname)
      for (const socket of [client, upstream]) {
        sockets.add(socket)
        socket.setNoDelay()
        socket.once('close', () => sockets.delete(socket))
        // What follows is told by its end.
        socket.on('error', () => {})
      }
      serveSession(client, upstream, plan)
      if (isFrozen) for (const socket of [client, upstream]) socket.pause()
    }).listen(port, '127.0.0.1')

  let server = open(0)
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const own = new URL(url)
  own.hostname = '127.0.0.1'
  own.port = String(port)

  function cut(): void {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  return {
    ...plan,
    url: own.href,
    cut,
    freeze() {
      isFrozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      isFrozen = false
      for (const socket of sockets) socket.resume()
    },
    // The connections that there are stay.
    refuse: () => void server.close(),
    async accept() {
      server = open(port)
      await once(server, 'listening')
    },
    async [Symbol.asyncDispose]() {
      cut()
      if (server.listening) await once(server.close(), 'close')
    },
  }
}

/** What the client asks up to where it waits, and the server answers with one ReadyForQuery. */
interface Exchange {
  readonly fault: PostgresFault | undefined
  readonly answer: Buffer[]
}

function serveSession(
  client: Socket,
  upstream: Socket,
  plan: FaultSource<string, Wanted, PostgresFault>,
): void {
  const statements = new Map<string, string>()
  const exchanges: Exchange[] = []
  let asked: Message[] = []
  let isSilent = false
  let work = Promise.resolve()

  function reset(): void {
    client.resetAndDestroy()
    upstream.resetAndDestroy()
  }

  async function ask(words: string, bytes: Buffer): Promise<void> {
    const fault = await plan.arrive(words)
    if (isSilent) return
    if (fault !== undefined && 'hang' in fault && fault.hang === 'before') {
      isSilent = true
      return
    }
    if (fault !== undefined && 'reset' in fault && fault.reset === 'before') {
      reset()
      return
    }
    if (fault !== undefined && 'sqlState' in fault) {
      if (words === 'connect') client.end(fatalError(fault.sqlState))
      else send(failingQuery(words, fault.sqlState), undefined)
      return
    }
    if (fault !== undefined && 'delay' in fault && fault.delay === 'before') {
      await sleep(fault.milliseconds)
    }
    send(bytes, fault)
  }

  function send(bytes: Buffer, fault: PostgresFault | undefined): void {
    exchanges.push({ fault, answer: [] })
    upstream.write(bytes)
  }

  async function answer({ fault, answer: parts }: Exchange): Promise<void> {
    if (isSilent) return
    const bytes = Buffer.concat(parts)
    if (fault !== undefined && 'reset' in fault) {
      reset()
    } else if (fault !== undefined && 'hang' in fault) {
      isSilent = true
    } else if (fault !== undefined && 'cutAt' in fault) {
      isSilent = true
      client.write(bytes.subarray(0, fault.cutAt))
      if (fault.ending === 'close') {
        client.end()
        upstream.destroy()
      }
    } else {
      if (fault !== undefined && 'delay' in fault) await sleep(fault.milliseconds)
      client.write(bytes)
    }
  }

  const fromClient = createFramer(true, {
    // Such as the request for TLS, whose answer is a single byte, and all that follows then.
    begin(message, isStartup) {
      if (isStartup) work = work.then(() => ask('connect', message.bytes))
      else upstream.write(message.bytes)
    },
    message(message) {
      // Of a password, or amid a copy: the server answers, but not that it is ready.
      if (['p', 'd', 'c', 'f', 'X', 'H'].includes(message.type)) {
        const bytes = Buffer.concat([...asked, message].map((one) => one.bytes))
        asked = []
        work = work.then(() => void (isSilent || upstream.write(bytes)))
        return
      }
      asked.push(message)
      if (message.type !== 'Q' && message.type !== 'S') return
      const bytes = Buffer.concat(asked.map((one) => one.bytes))
      const words = readStatement(asked, statements)
      asked = []
      work = work.then(() => ask(words, bytes))
    },
  })
  let answering = Promise.resolve()
  const fromServer = createFramer(false, {
    message({ type, bytes }) {
      const [exchange] = exchanges
      // What the server says by itself, or to a client that is not yet known.
      if (exchange?.fault === undefined) {
        answering = answering.then(() => void (isSilent || client.write(bytes)))
      } else {
        exchange.answer.push(bytes)
      }
      if (type !== 'Z' || exchange === undefined) return
      exchanges.shift()
      if (exchange.fault !== undefined) answering = answering.then(() => answer(exchange))
    },
  })

  let isOpaque = false
  client.on('data', (chunk: Buffer) => {
    if (isSilent) return
    if (isOpaque) upstream.write(chunk)
    else fromClient.push(chunk)
  })
  upstream.on('data', (chunk: Buffer) => {
    if (isSilent) return
    if (isOpaque) {
      client.write(chunk)
    } else if (fromClient.hasBegun()) {
      fromServer.push(chunk)
    } else {
      // The answer to the request for TLS.
      isOpaque = chunk[0] === 'S'.charCodeAt(0)
      client.write(chunk)
    }
  })
  client.on('close', () => {
    if (!isSilent) void work.then(() => upstream.end())
  })
  upstream.on('close', () => {
    if (!isSilent) void answering.then(() => client.destroySoon())
  })
}
