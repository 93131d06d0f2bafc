/** Answers with a file's content: whole, a range of it, or the word that it has not changed. */

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fresh from 'fresh'
import { rangeNotSatisfiable } from '../service/errors.ts'
import type { FileContent } from '../service/files.ts'
import { attachment } from './attachment.ts'

/** A client that follows a link does so at once. */
const linkSeconds = 300

/** @throws what reading the first bytes throws, while another answer can still be given. */
export async function answerContent(
  request: FastifyRequest,
  reply: FastifyReply,
  content: FileContent,
): Promise<FastifyReply> {
  const { file } = content
  const headers = contentHeaders(content)
  const { 'if-none-match': ifNoneMatch } = request.headers
  if (ifNoneMatch !== undefined && fresh({ 'if-none-match': ifNoneMatch }, headers)) {
    return reply.code(304).headers(headers).send()
  }

  const range = readRange(request, file.bytes, headers.etag)
  if (range === 'unsatisfiable') {
    reply.header('content-range', `bytes */${file.bytes}`)
    throw rangeNotSatisfiable(file.bytes)
  }
  // What a link leads to is told by S3, which answers no HEAD there and has a tag of its own.
  if (request.method === 'GET' && request.headers['if-range'] === undefined && content.link) {
    const location = await content.link({
      contentDisposition: headers['content-disposition'],
      contentType: contentType(request, content),
      seconds: linkSeconds,
    })
    const { 'cache-control': cacheControl, vary } = headers
    return reply.headers({ 'cache-control': cacheControl, vary }).redirect(location, 302)
  }
  const { start, end } = range ?? { start: 0, end: file.bytes }
  const isWanted = request.method !== 'HEAD'
  // Of answers that wait for another one on their connection none holds a file or bytes of it.
  if (isWanted && reply.raw.socket === null) await once(reply.raw, 'socket')
  const bytes = isWanted ? await begun(content.read({ start, end })) : undefined
  // Only now, because a refusal would carry these headers, too.
  reply.headers(headers)
  reply.type(contentType(request, content)).header('content-length', end - start)
  if (range !== undefined) {
    reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${file.bytes}`)
  }
  // An empty stream leaves the length as it is said; nothing at all would make it zero.
  if (bytes === undefined) return reply.send(Readable.from([]))
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value)
  }
  reply.raw.writeHead(reply.statusCode)
  try {
    const sent = await sendPieces(reply.raw, bytes)
    if (!sent) request.log.info('the client left before it had the whole content')
  } catch (error) {
    // The head is out, so only a cut connection can say that the content is not whole.
    request.log.error({ err: error }, 'a download was cut')
    reply.raw.destroy()
  }
  return reply
}

function contentHeaders({ file, tag }: FileContent) {
  return {
    etag: `"${tag}"`,
    'accept-ranges': 'bytes',
    // What one client uploaded must not run, be sniffed or be kept where another may find it.
    'cache-control': 'private, no-store',
    'content-disposition': attachment(file.filename),
    'content-security-policy': 'sandbox',
    'cross-origin-resource-policy': 'same-origin',
    vary: 'accept',
    'x-content-type-options': 'nosniff',
  }
}

/**
 * Sends the pieces one by one, and stops reading when the client has left.
 *
 * @returns whether it sent all.
 */
async function sendPieces(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array>,
): Promise<boolean> {
  for await (const piece of pieces) {
    if (!(await sendPiece(response, piece))) return false
    // The piece is ours and the kernel has it. Left to the garbage collector, such pieces take
    // some hundred MiB before it comes by.
    if (piece.buffer instanceof ArrayBuffer) piece.buffer.transfer(0)
  }
  response.end()
  return true
}

/** @returns whether the kernel took the piece; otherwise nobody listens any more. */
async function sendPiece(response: ServerResponse, piece: Uint8Array): Promise<boolean> {
  const { socket } = response
  if (socket === null || socket.destroyed) return false
  // Node does not call back for what it could not write any more.
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const leave = () => resolve(false)
  socket.once('close', leave)
  response.write(piece, (error) => resolve(error == null))
  const sent = await promise
  socket.off('close', leave)
  return sent
}

/**
 * Generated clients ask for `application/json` and can only use text (contract D2): those get
 * the bytes as text, in a charset that maps each byte where they are not UTF-8.
 */
function contentType(request: FastifyRequest, { isText }: FileContent): string {
  if (request.headers.accept !== 'application/json') return 'application/octet-stream'
  return `text/plain; charset=${isText ? 'utf-8' : 'latin-1'}`
}

/**
 * The one range asked for. What is malformed, of another unit or many is answered whole, and only
 * GET knows ranges (RFC 9110 §14.2).
 */
function readRange(
  { method, headers }: FastifyRequest,
  bytes: number,
  etag: string,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const { range = '', 'if-range': ifRange = etag } = headers
  const match = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/i.exec(range)
  if (match === null || method !== 'GET' || ifRange !== etag) return undefined
  const [, first, last = '', suffix] = match
  // The last so many bytes: all of them where the file has fewer.
  const start = first === undefined ? Math.max(0, bytes - Number(suffix)) : Number(first)
  const end = last === '' ? bytes : Number(last) + 1
  if (last !== '' && end <= start) return undefined
  return start >= bytes ? 'unsatisfiable' : { start, end: Math.min(end, bytes) }
}

/** The same bytes, the first of them already read. */
async function begun(source: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = source[Symbol.asyncIterator]()
  const first = await iterator.next()
  async function* continued() {
    try {
      if (first.done !== true) yield first.value
      yield* { [Symbol.asyncIterator]: () => iterator }
    } finally {
      // Whoever stops at the first piece must let go of the source, too.
      await iterator.return?.()
    }
  }
  return continued()
}
