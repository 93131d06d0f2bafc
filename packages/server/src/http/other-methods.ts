/** Answers a known path asked with a method it does not have, which is no unknown path. */

import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'

const usual: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
/** Whatever else Node's parser knows; it hands over no CONNECT as a request. */
const unusual = METHODS.filter((name) => name !== 'CONNECT' && !usual.some((one) => one === name))

/**
 * Watches the routes that are added to `app` from now on.
 *
 * @returns what adds the refusals, once all routes are there.
 */
export function refuseOtherMethods(
  app: FastifyInstance,
  refuse: (method: string, url: string) => never,
): () => void {
  const methods: HTTPMethods[] = [...usual, ...unusual]
  for (const name of unusual) {
    if (!app.supportedMethods.includes(name)) app.addHttpMethod(name, { hasBody: true })
  }
  const known = new Map<string, Set<HTTPMethods>>()
  app.addHook('onRoute', ({ url, method }) => {
    const allowed = known.get(url) ?? new Set()
    for (const name of [method].flat()) allowed.add(name as HTTPMethods)
    known.set(url, allowed)
  })
  return () => {
    for (const [url, allowed] of [...known]) {
      const allow = methods.filter((method) => allowed.has(method)).join(', ')
      const others = methods.filter((method) => !allowed.has(method))
      if (others.length === 0) continue
      const answer = async (request: FastifyRequest, reply: FastifyReply) => {
        reply.header('allow', allow)
        refuse(request.method, request.url)
      }
      // Before the handler Fastify asks of some methods that they have a body.
      app.route({
        method: others,
        url,
        schema: { hide: true },
        onRequest: answer,
        handler: answer,
      })
    }
  }
}
