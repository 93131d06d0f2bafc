/** From the headers of a request to its caller, before any byte of its body is read. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Access, Caller } from '../service/access.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set on every route behind `requireCaller`. */
    caller: Caller
  }
}

/** Makes every route of `app` refuse a request without a valid API key. */
export function requireCaller(app: FastifyInstance, access: Access): void {
  app.decorateRequest('caller')
  app.addHook('onRequest', async (request) => {
    request.caller = await access.authenticate({
      apiKey: readApiKey(request.headers.authorization),
      organization: readHeader(request, 'openai-organization'),
      project: readHeader(request, 'openai-project'),
    })
  })
}

/** The key of `Bearer KEY` or, as the vendor has it too, the password of HTTP Basic. */
function readApiKey(authorization: string | undefined): string | undefined {
  // Node's parser leaves no blank at the end.
  const [, scheme = '', value = ''] = /^(\w+) +(.*)$/.exec(authorization ?? '') ?? []
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return value === '' ? undefined : value
    case 'basic': {
      const [, password = ''] = /^[^:]*:(.*)$/s.exec(Buffer.from(value, 'base64').toString()) ?? []
      return password === '' ? undefined : password
    }
    default:
      return undefined
  }
}

/** SDKs send these headers empty where an environment variable is set but empty. */
function readHeader(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}
