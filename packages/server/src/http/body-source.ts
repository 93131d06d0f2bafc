/** A request's body as bytes to be pulled, and what becomes of a body that nobody reads. */

import type { IncomingMessage } from 'node:http'

const MiB = 1024 * 1024

/** The client closed the connection before its request was whole: nobody is left to answer. */
export class ClientLeft extends Error {
  override readonly name = 'ClientLeft'
}

/** No byte of the body came for as long as the server waits (`COFFER_IDLE_SECONDS`). */
export class BodyStalled extends Error {
  override readonly name = 'BodyStalled'
}

/**
 * Yields the body as it comes, and ends only if it is whole; a piece is gone once the next is asked
 * for. Unlike the iterator of a Node stream it leaves the connection alone when the reader stops
 * early, so that a refusal can still be sent.
 *
 * @throws ClientLeft, BodyStalled
 */
export async function* readBody(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  // Without a listener the server destroys an idle connection. While the reader is busy and pulls
  // nothing, an idle connection is not the client's fault.
  const keepAlive = () => {}
  request.on('timeout', keepAlive)
  try {
    for (;;) {
      const piece: unknown = request.read()
      if (piece instanceof Uint8Array) {
        yield piece
        free(piece)
      } else if (request.readableEnded) return
      else await moreOf(request)
    }
  } finally {
    request.off('timeout', keepAlive)
  }
}

/**
 * Gives the memory back at once. Left to the garbage collector, the pieces of an upload take some
 * dozen MiB and a tenth of its processor time.
 */
function free({ buffer, byteLength }: Uint8Array): void {
  // What does not fill its buffer may share it with others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

async function moreOf(request: IncomingMessage): Promise<void> {
  if (request.destroyed) throw new ClientLeft('The client left before its request was whole.')
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const events = {
    readable: () => resolve(),
    end: () => resolve(),
    close() {
      // It comes right behind the end, too.
      if (request.readableEnded) resolve()
      else reject(new ClientLeft('The client left before its request was whole.'))
    },
    error: (cause: Error) => reject(new ClientLeft('The connection broke.', { cause })),
    timeout: () => reject(new BodyStalled('No byte of the request came for too long.')),
  }
  for (const [name, listener] of Object.entries(events)) request.on(name, listener)
  try {
    await promise
  } finally {
    for (const [name, listener] of Object.entries(events)) request.off(name, listener)
  }
}

/** What is read, and for how long, so that a client that still sends comes to see the answer. */
const drain = { bytes: 16 * MiB, milliseconds: 1000 }

/**
 * Reads on while and after an answer is sent that comes before the body's end, up to a bound, then
 * closes. Clients that write until they are done, as Node's `fetch` does, never see an early
 * answer otherwise. It must begin before the answer ends, when Node drops a body that nobody reads
 * without a bound.
 */
export function drainBody(request: IncomingMessage): void {
  // A body that came whole but was not read out still stops the connection's next request.
  if (request.readableEnded || request.destroyed) return
  let drained = 0
  const deadline = setTimeout(() => request.socket.destroy(), drain.milliseconds)
  request.on('data', (piece: Uint8Array) => {
    drained += piece.length
    if (drained > drain.bytes) request.socket.destroy()
  })
  request.once('close', () => clearTimeout(deadline))
  request.once('end', () => clearTimeout(deadline))
}
