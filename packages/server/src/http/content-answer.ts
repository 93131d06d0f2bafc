/** Answers with a file's content: whole, a range of it, or the word that it has not changed. */

import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fresh from 'fresh'
import parseRange from 'range-parser'
import { rangeNotSatisfiable } from '../service/errors.ts'
import type { FileContent } from '../service/files.ts'
import { attachment } from './attachment.ts'

/** @throws what reading the first bytes throws, while another answer can still be given. */
export async function answerContent(
  request: FastifyRequest,
  reply: FastifyReply,
  content: FileContent,
): Promise<FastifyReply> {
  const { file, sha256 } = content
  const etag = `"${sha256}"`
  reply.headers({
    etag,
    'accept-ranges': 'bytes',
    // What one client uploaded must not run, be sniffed or be kept where another may find it.
    'cache-control': 'private, no-store',
    'content-disposition': attachment(file.filename),
    'content-security-policy': 'sandbox',
    'cross-origin-resource-policy': 'same-origin',
    vary: 'accept',
    'x-content-type-options': 'nosniff',
  })
  const { 'if-none-match': ifNoneMatch } = request.headers
  if (ifNoneMatch !== undefined && fresh({ 'if-none-match': ifNoneMatch }, { etag })) {
    return reply.code(304).send()
  }

  const range = readRange(request, file.bytes, etag)
  if (range === 'unsatisfiable') {
    reply.header('content-range', `bytes */${file.bytes}`)
    throw rangeNotSatisfiable(file.bytes)
  }
  if (range !== undefined) {
    reply.code(206)
    reply.header('content-range', `bytes ${range.start}-${range.end - 1}/${file.bytes}`)
  }
  const { start, end } = range ?? { start: 0, end: file.bytes }
  reply.type(contentType(request, content)).header('content-length', end - start)
  // An empty stream leaves the length as it is said; nothing at all would make it zero.
  if (request.method === 'HEAD') return reply.send(Readable.from([]))
  const bytes = await begun(content.read({ start, end }))
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value)
  }
  reply.raw.writeHead(reply.statusCode)
  try {
    await sendPieces(reply.raw, bytes)
  } catch (error) {
    // The head is out, so only a cut connection can say that the content is not whole.
    request.log.error({ err: error }, 'a download was cut')
    reply.raw.destroy()
  }
  return reply
}

/** Sends the pieces one by one, and stops reading when the client has left. */
async function sendPieces(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  for await (const piece of pieces) {
    if (!(await sendPiece(response, piece))) return
    // The piece is ours and the kernel has it. Left to the garbage collector, such pieces take
    // some hundred MiB before it comes by.
    if (piece.buffer instanceof ArrayBuffer) piece.buffer.transfer(0)
  }
  response.end()
}

/** @returns whether the kernel took the piece; otherwise nobody listens any more. */
async function sendPiece(response: ServerResponse, piece: Uint8Array): Promise<boolean> {
  if (response.destroyed) return false
  return new Promise((resolve) => {
    response.write(piece, (error) => resolve(error == null))
  })
}

/**
 * Generated clients ask for `application/json` and can only use text (contract D2): those get
 * the bytes as text, in a charset that maps each byte where they are not UTF-8.
 */
function contentType(request: FastifyRequest, { isText }: FileContent): string {
  if (request.headers.accept !== 'application/json') return 'application/octet-stream'
  return `text/plain; charset=${isText ? 'utf-8' : 'latin-1'}`
}

/** The one range asked for; what is malformed or many is answered whole (RFC 9110 §14.2). */
function readRange(
  request: FastifyRequest,
  bytes: number,
  etag: string,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const { range, 'if-range': ifRange } = request.headers
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined
  const ranges = parseRange(bytes, range)
  if (ranges === -1) return 'unsatisfiable'
  if (ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1) return undefined
  const [first] = ranges
  return first === undefined ? undefined : { start: first.start, end: first.end + 1 }
}

/** The same bytes, the first of them already read. */
async function begun(source: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = source[Symbol.asyncIterator]()
  const first = await iterator.next()
  async function* continued() {
    if (first.done !== true) yield first.value
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return continued()
}
