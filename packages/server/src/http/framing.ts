/** Refuses what Node's parser takes although a proxy in front may read it in another way. */

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import { ServiceError } from '../service/errors.ts'

/**
 * What is wrong with a request's framing, if anything is; the connection is then closed behind the
 * answer. Whatever else comes on it is refused as well: nobody knows where it really begins.
 */
export type FramingCheck = (
  request: IncomingMessage,
  reply: FastifyReply,
) => ServiceError | undefined

export function createFramingCheck(): FramingCheck {
  const refused = new WeakMap<Socket, ServiceError>()
  return (request, reply) => {
    const fault = refused.get(request.socket) ?? faultOf(request)
    if (fault === undefined) return undefined
    refused.set(request.socket, fault)
    reply.header('connection', 'close')
    return fault
  }
}

function faultOf(request: IncomingMessage): ServiceError | undefined {
  const { httpVersion, url = '', headers } = request
  // Without a version Node takes a line of HTTP/0.9, which knows no headers in its answer either.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return malformed(`HTTP/${httpVersion} is not supported.`)
  }
  const hosts = countHeaders(request, 'host')
  if (hosts > 1) return malformed('The request has two Host headers.')
  // Node's own refusal has no body.
  if (hosts === 0 && httpVersion === '1.1') return malformed('The request has no Host header.')
  if (/[^\w.~%!$&'()*+,;=:[\]-]/.test(headers.host ?? '')) {
    return malformed('The request has a malformed Host header.')
  }
  const { 'transfer-encoding': coding } = headers
  // Node hands on a body of other codings undecoded, and whether HTTP/1.0 knows any is in dispute.
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0')) {
    return malformed("The Transfer-Encoding of a request may only be 'chunked'.")
  }
  // The router would take `http://host?/v1/files` for a path of its own.
  if (!url.startsWith('/') && url !== '*' && !/^https?:\/\/[^/?#@]+\//i.test(url)) {
    return malformed('The target of the request is neither a path nor a URL with a path.')
  }
  const { expect } = headers
  // HTTP/1.0 has no such header, so what it says there is ignored (RFC 9110 §10.1.1).
  if (expect !== undefined && httpVersion === '1.1' && expect.toLowerCase() !== '100-continue') {
    return new ServiceError('expectation_failed', `The server cannot meet 'Expect: ${expect}'.`)
  }
  return undefined
}

/** Node joins or drops headers of one name; only the raw list has them all. */
function countHeaders({ rawHeaders }: IncomingMessage, wanted: string): number {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === wanted.length && name.toLowerCase() === wanted) count += 1
  }
  return count
}

function malformed(message: string): ServiceError {
  return new ServiceError('request_malformed', message)
}
