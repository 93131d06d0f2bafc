/** A server that passes requests on to another, and can hold the answers on their way. */

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ProxiedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

export interface Proxy extends AsyncDisposable {
  readonly url: string
  readonly requests: ProxiedRequest[]
  /** Closes all connections of clients, whatever is on its way on them. */
  breakConnections(): void
  /** Lets all answers pass from now on. */
  goOn(): void
}

export interface ProxyOptions {
  /** After how many bytes the answer to the request of this number, from 0, comes to a halt. */
  readonly haltAfter?: (number: number) => number | undefined
  /** The same, and there the connection is closed. */
  readonly breakAfter?: (number: number) => number | undefined
}

export async function startProxy(target: string, options: ProxyOptions = {}): Promise<Proxy> {
  const requests: ProxiedRequest[] = []
  let isOpen = false
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming
    const { haltAfter, breakAfter } = options
    const end = isOpen ? undefined : (breakAfter ?? haltAfter)?.(requests.length)
    let left = end ?? Number.POSITIVE_INFINITY
    requests.push({ method, url, headers })
    const passed = request(new URL(url, target), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.on('data', (piece: Buffer) => {
        if (left <= 0) {
          if (breakAfter !== undefined) outgoing.destroy()
          return
        }
        const part = piece.subarray(0, left)
        left -= part.length
        const sent = breakAfter && left <= 0 ? () => outgoing.destroy() : undefined
        outgoing.write(part, sent)
      })
      answer.on('end', () => {
        if (left > 0) outgoing.end()
      })
    })
    outgoing.once('close', () => passed.destroy())
    passed.on('error', () => outgoing.destroy())
    incoming.pipe(passed)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    goOn() {
      isOpen = true
    },
    breakConnections: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
