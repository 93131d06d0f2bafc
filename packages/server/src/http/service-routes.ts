/** What operators and tools ask: health, readiness, the API's description. */

import { readFileSync } from 'node:fs'
import { Problem } from '@coffer/contract'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { ServiceError } from '../service/errors.ts'
import { answerProblem } from './problems.ts'

const PackageJson = z.object({ version: z.string() })
const { version } = PackageJson.parse(
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')),
)

const Status = z.object({ status: z.literal('ok') })

/** Describes the routes that are added to `app` after it, at /openapi.json and /docs. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Coffer',
        version,
        description: 'A self-hosted Files service that speaks the OpenAI Files API.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { ApiKeyAuth: { type: 'http', scheme: 'bearer' } } },
    },
    transform: jsonSchemaTransform,
  })
  await app.register(swaggerUi, { routePrefix: '/docs', theme: { title: 'Coffer' } })
}

/** @param check rejects if files could not be stored now. */
export function addServiceRoutes(app: FastifyInstance, check: () => Promise<void>): void {
  const tags = ['Service']

  app.get('/healthz', {
    schema: { tags, summary: 'Whether the process answers.', response: { 200: Status } },
    handler: async () => ({ status: 'ok' }),
  })

  app.get('/readyz', {
    schema: {
      tags,
      summary: 'Whether files can be stored now.',
      response: { 200: Status, 503: Problem },
    },
    handler: async (request, reply) => {
      try {
        await check()
      } catch (error) {
        request.log.error({ err: error }, 'the stores are not ready')
        return answerProblem(
          reply,
          new ServiceError('service_unavailable', 'The storage does not answer.'),
        )
      }
      return { status: 'ok' }
    },
  })

  app.get('/openapi.json', { schema: { hide: true }, handler: async () => app.swagger() })
}
