/** Closes the connections that no request uses when the server stops. */

import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Node and Fastify close connections between two requests, but not those that never sent one, as
 * browsers and some SDKs keep ready: a stopping server would wait for them to the last second.
 */
export function closeIdleConnections(app: FastifyInstance): void {
  const idle = new Set<Socket>()
  let stopping = false

  function rest(socket: Socket): void {
    if (stopping) socket.destroySoon()
    else if (!socket.destroyed) idle.add(socket)
  }

  app.server.on('connection', (socket: Socket) => {
    rest(socket)
    socket.once('close', () => idle.delete(socket))
  })
  app.addHook('onRequest', async (request) => {
    idle.delete(request.raw.socket)
  })
  app.addHook('onSend', async (request, reply) => {
    // Told so, a client sends its next request on another connection. One that is still sending
    // would be cut before it reads the answer.
    if (stopping && request.raw.complete) reply.header('connection', 'close')
  })
  app.addHook('onResponse', async ({ raw }) => {
    // The rest of a body may still be on its way; see drainBody.
    if (raw.complete) rest(raw.socket)
    else raw.once('end', () => rest(raw.socket))
  })
  app.addHook('preClose', async () => {
    stopping = true
    for (const socket of idle) socket.destroySoon()
  })
}
