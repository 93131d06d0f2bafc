/** The door: every route, and what holds for all of them. */

import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify'
import { methodNotAllowed, routeNotFound } from '../service/errors.ts'
import type { Service } from '../service/service.ts'
import { requireCaller } from './authentication.ts'
import { drainBody } from './body-source.ts'
import { addFileRoutes } from './file-routes.ts'
import { createFramingCheck } from './framing.ts'
import { closeIdleConnections } from './idle-connections.ts'
import { createInvalidRequests } from './invalid-requests.ts'
import type { Metrics } from './metrics.ts'
import { refuseOtherMethods } from './other-methods.ts'
import { answerError } from './problems.ts'
import { refuseChanges } from './read-only.ts'
import { newRequestId } from './request-id.ts'
import { logRequests } from './request-log.ts'
import { addServiceRoutes, describeRoutes } from './service-routes.ts'
import { addTusRoutes } from './tus-routes.ts'
import { addUploadRoutes } from './upload-routes.ts'

export interface AppNeeds {
  readonly service: Service
  readonly logger: FastifyBaseLogger
  readonly metrics: Metrics
  /** Seconds without a byte in either direction after which a connection is given up. */
  readonly idleSeconds: number
  /** The size of one Upload. */
  readonly maxUploadBytes: number
  /** The size of one part. */
  readonly maxPartBytes: number
  /** Whether all that would change something is refused. */
  readonly readOnly: boolean
}

export async function createApp({
  service,
  logger,
  metrics,
  idleSeconds,
  maxUploadBytes,
  maxPartBytes,
  readOnly,
}: AppNeeds): Promise<FastifyInstance> {
  const idle = idleSeconds * 1000
  const checkFraming = createFramingCheck()
  const invalidRequests = createInvalidRequests(logger)
  const app = fastify({
    loggerInstance: logger,
    genReqId: newRequestId,
    // One line for a request is enough; the hook below writes it.
    logController: new LogController({ disableRequestLogging: true }),
    // Node's own limit for a whole request would cut slow uploads that make progress.
    requestTimeout: 0,
    connectionTimeout: idle,
    keepAliveTimeout: idle,
    // By itself Node looks only every 30 seconds whether a head takes too long.
    // A request without Host gets an answer in the API's shape; see framing.ts.
    http: { headersTimeout: idle, connectionsCheckingInterval: 1000, requireHostHeader: false },
    // A stopping server finishes what it has begun and closes each connection after it.
    return503OnClosing: false,
    // An id is looked up and not found, however long it is.
    routerOptions: { maxParamLength: 16 * 1024 },
    frameworkErrors(error, request, reply) {
      // No hook runs for a URL that cannot be decoded.
      reply.header('x-request-id', request.id)
      drainBody(request.raw)
      return answerError(checkFraming(request.raw, reply) ?? error, request, reply)
    },
    clientErrorHandler: invalidRequests.refuse,
  })

  // Bodies are read by the routes that want one; the SDKs announce JSON where they send nothing.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', async () => undefined)
  // The documents' schemas are not run: requests are read with the vendor's words for each fault,
  // and answers are typed.
  app.setValidatorCompiler(() => (value) => ({ value }))
  app.setSerializerCompiler(() => JSON.stringify)

  closeIdleConnections(app)
  invalidRequests.watch(app)
  logRequests(app)
  app.setErrorHandler(answerError)
  app.setNotFoundHandler((request) => {
    throw routeNotFound(request.method, pathOf(request.url))
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    const fault = checkFraming(request.raw, reply)
    if (fault !== undefined) throw fault
  })
  app.addHook('onSend', async (request) => {
    drainBody(request.raw)
  })

  await describeRoutes(app)
  await app.register(async (own) => {
    const refuseRest = refuseOtherMethods(own, (method, url) => {
      throw methodNotAllowed(method, pathOf(url))
    })
    await own.register(
      async (api) => {
        requireCaller(api, service.access)
        if (readOnly) refuseChanges(api)
        addFileRoutes(api, service.files)
        addUploadRoutes(api, { uploads: service.uploads, maxUploadBytes })
        addTusRoutes(api, { uploads: service.uploads, maxUploadBytes, maxPartBytes })
      },
      { prefix: '/v1' },
    )
    addServiceRoutes(own, service.check)
    metrics.watch(own)
    refuseRest()
  })

  // Without a listener Node asks for the body at once, before it is known whether it is welcome.
  app.server.on('checkContinue', app.routing)
  // By itself Node answers any other expectation with an empty 417.
  app.server.on('checkExpectation', app.routing)
  app.server.on('connect', invalidRequests.refuseTunnel)
  return app
}

function pathOf(url: string): string {
  return url.replace(/[?#].*$/s, '')
}
