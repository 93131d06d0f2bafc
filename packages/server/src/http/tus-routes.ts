/** Where tus clients upload: another road to the same Uploads, resumed at an offset. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { methodNotAllowed } from '../service/errors.ts'
import type { TusNeeds } from './tus-answer.ts'

/** What can be done with one Upload. */
const methods: readonly string[] = ['OPTIONS', 'HEAD', 'PATCH', 'DELETE']

const UploadId = z.object({ upload_id: z.string() })

/** The routes are not in the OpenAPI document: what they say is fixed by tus 1.0. */
export function addTusRoutes(app: FastifyInstance, needs: TusNeeds): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply, method: string) => {
    // The library takes a tenth of the time to start, and most servers never see a tus client.
    const { answerTus } = await import('./tus-answer.ts')
    const { upload_id } = UploadId.partial().parse(request.params)
    return answerTus(needs, { request, reply, method, id: upload_id, path: `${app.prefix}/tus` })
  }

  app.route({
    method: ['OPTIONS', 'POST'],
    url: '/tus',
    schema: { hide: true },
    handler: async (request, reply) => answer(request, reply, request.method),
  })

  app.route({
    method: [...methods, 'POST'],
    url: '/tus/:upload_id',
    schema: { hide: true },
    handler: async (request, reply) => {
      const method = methodOf(request)
      if (!methods.includes(method)) throw methodNotAllowed(method, request.url)
      return answer(request, reply, method)
    },
  })
}

/** Any method may stand for another one, for what lies between and lets only GET and POST pass. */
export function methodOf({ headers, method }: FastifyRequest): string {
  const override = headers['x-http-method-override']
  return typeof override === 'string' ? override : method
}
