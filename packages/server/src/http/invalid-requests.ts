/** Refuses bytes that are no HTTP request, on connections where an answer can be read as one. */

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyBaseLogger, FastifyInstance } from 'fastify'
import { parserProblem } from './problems.ts'
import { newRequestId } from './request-id.ts'

export interface InvalidRequests {
  /** Takes what Node's parser and the connection itself failed with. */
  refuse(error: ConnectionError, socket: Socket): void
  /** Takes a CONNECT, on which Node would hang up without a word. */
  refuseTunnel(request: IncomingMessage): void
  /** Watches the requests of `app`, whose answers must not be broken into. */
  watch(app: FastifyInstance): void
}

/** How long a client may take to see that it gets no tunnel. */
const tunnelMilliseconds = 1000

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

export function createInvalidRequests(logger: FastifyBaseLogger): InvalidRequests {
  const exchanges = new WeakMap<Socket, Exchange[]>()

  function answer(code: string, socket: Socket): void {
    const answered = exchanges.get(socket)?.some(isOpen) ?? false
    if (answered || !socket.writable) socket.destroy()
    else socket.end(rawAnswer(code))
  }

  return {
    refuse({ code, reason }: ConnectionError & { reason?: string }, socket) {
      if (hasLeft(code)) {
        // If a request was under way, its route says so.
        socket.destroy()
        return
      }
      // The error itself holds the bytes, and with them the API key.
      logger.info({ code, reason }, 'a request is not valid HTTP')
      answer(code, socket)
    },

    refuseTunnel({ method, socket }) {
      logger.info({ method }, 'a request asks for a tunnel')
      // Node has let go of the connection, and with it of its errors, its bytes and its time.
      socket.on('error', () => {})
      const deadline = setTimeout(() => socket.destroy(), tunnelMilliseconds)
      socket.once('close', () => clearTimeout(deadline))
      socket.resume()
      answer('CONNECT', socket)
    },

    watch(app) {
      app.addHook('onRequest', async ({ raw: request }, { raw: response }) => {
        const before = exchanges.get(request.socket) ?? []
        exchanges.set(request.socket, [...before.filter(isUnderWay), { request, response }])
      })
    },
  }
}

/** Whether the connection ended or broke before the request was whole. */
function hasLeft(code: string): boolean {
  return code === 'HPE_INVALID_EOF_STATE' || !/^(HPE|ERR_HTTP)_/.test(code)
}

function isUnderWay({ request, response }: Exchange): boolean {
  return !request.complete || !response.writableFinished
}

/** Whether the client reads an answer, or has read one to the request that became invalid. */
function isOpen(exchange: Exchange): boolean {
  return isUnderWay(exchange) && exchange.response.headersSent
}

/** An answer without Fastify, for a request that never became one. */
function rawAnswer(code: string): string {
  const { status, problem } = parserProblem(code)
  const body = JSON.stringify(problem)
  const headers = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${newRequestId()}`,
    'connection: close',
  ]
  return `${headers.join('\r\n')}\r\n\r\n${body}`
}
