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
    const all = [...known]
    for (const [url] of all) {
      // A path that is written out may also be one with a parameter, whose methods it has then, too.
      const alike = all.filter(([other]) => other === url || isMatch(other, url))
      const allowed = new Set(alike.flatMap(([, names]) => [...names]))
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

/** Whether a path with parameters, as `/files/:file_id`, may be another one. */
function isMatch(pattern: string, path: string): boolean {
  const parts = path.split('/')
  const wanted = pattern.split('/')
  return (
    parts.length === wanted.length &&
    wanted.every((part, index) => part.startsWith(':') || part === parts[index])
  )
}
