/** A door that gives out and takes nothing in. */

import type { FastifyInstance } from 'fastify'
import { readOnly } from '../service/errors.ts'
import { methodOf } from './tus-routes.ts'

const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Makes every route of `app` refuse what would change something, before its body is read. */
export function refuseChanges(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => {
    const isTus = request.routeOptions.url?.startsWith(`${app.prefix}/tus`) === true
    // There to ask for the offset may complete an Upload.
    const isHarmless = isTus ? methodOf(request) === 'OPTIONS' : harmless.has(request.method)
    if (!isHarmless) throw readOnly()
  })
}
