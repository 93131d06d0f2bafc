/** Logs one line for each request, whatever became of it. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

export function logRequests(app: FastifyInstance): void {
  const logged = new WeakSet<FastifyRequest>()

  function log(request: FastifyRequest, reply: FastifyReply): void {
    if (logged.has(request)) return
    logged.add(request)
    const { method, url } = request
    const milliseconds = Math.round(reply.elapsedTime)
    const cut = reply.raw.headersSent && !reply.raw.writableFinished ? { cut: true } : {}
    request.log.info({ method, url, status: reply.statusCode, milliseconds, ...cut }, 'request')
  }

  app.addHook('onRequest', async (request, reply) => {
    // Fastify hears only of answers that came to their end. Of one that has not begun, the route
    // will still say what became of it.
    reply.raw.once('close', () => {
      if (reply.raw.headersSent) log(request, reply)
    })
  })
  app.addHook('onSend', async (request, reply) => {
    // An answer to nobody never ends either.
    if (request.raw.socket.destroyed) log(request, reply)
  })
  app.addHook('onResponse', async (request, reply) => log(request, reply))
}
