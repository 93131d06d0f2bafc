/** Answers a known path asked with a method it does not have, which is no unknown path. */

import type { FastifyInstance, HTTPMethods } from 'fastify'

const methods: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/**
 * Watches the routes that are added to `app` from now on.
 *
 * @returns what adds the refusals, once all routes are there.
 */
export function refuseOtherMethods(
  app: FastifyInstance,
  refuse: (method: string, url: string) => never,
): () => void {
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
      app.route({
        method: others,
        url,
        schema: { hide: true },
        handler: async (request, reply) => {
          reply.header('allow', allow)
          refuse(request.method, request.url)
        },
      })
    }
  }
}
