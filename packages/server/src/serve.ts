/** Starts a server from a configuration, and stops it without losing what it has begun. */

import { randomFillSync } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Config } from './config.ts'
import { openRules } from './open-rules.ts'
import { openStores } from './open-stores.ts'
import { type Clock, systemClock } from './service/clock.ts'
import { createIds, createRandom } from './service/ids.ts'
import { signSeconds } from './service/presence.ts'
import { openService, type Service } from './service/service.ts'
import { setUp } from './service/setup.ts'

export interface Server {
  /** Where it serves, as http://HOST:PORT. */
  readonly url: string
  /** The API key that the first start made, to be shown once. */
  readonly firstKey: string | undefined
  /**
   * Lets requests end for `COFFER_STOP_SECONDS` or until `hurry`, cuts the rest and closes the
   * stores.
   */
  stop(hurry?: AbortSignal): Promise<void>
}

export interface ServeNeeds {
  readonly logger: FastifyBaseLogger
  readonly clock?: Clock
}

/** Resolves when, and only when, requests are served. */
export async function serve(
  config: Config,
  { logger, clock = systemClock }: ServeNeeds,
): Promise<Server> {
  await using started = new AsyncDisposableStack()
  // While the threads of the stores start, this one loads what answers requests.
  const loading = Promise.all([import('./http/app.ts'), import('./http/metrics.ts')])
  loading.catch(() => {})
  const stores = started.use(await openStores(config, (message) => logger.warn(message)))
  const [{ createApp }, { createMetrics }] = await loading
  const ids = createIds(createRandom(randomFillSync))
  const metrics = createMetrics()
  const needs = { ...stores, clock, ids, log: logger, measures: metrics }
  const rules = started.use(openRules(config))
  const service = await openService({ ...needs, ...rules, settings: config })
  const stopping = new AbortController()
  const { idleSeconds, maxUploadBytes, maxPartBytes, readOnly } = config
  const app = await createApp({
    ...{ service, logger, metrics },
    ...{ idleSeconds, maxUploadBytes, maxPartBytes, readOnly },
  })
  started.defer(() => app.close())
  const url = await listen(app, config.listen)
  // Only now, as a key that was made but never shown would be lost.
  const firstKey = await setUp({ ...stores, clock, ids }, config.apiKey)
  const leaving = new AbortController()
  const sweep = () => service.sweep.run(stopping.signal)
  const sweeps = readOnly
    ? undefined
    : regularly(sweep, { seconds: config.sweepSeconds, signal: stopping.signal, log: logger })
  // One that sweeps nothing has no share of the sweep, and is not looked at.
  const signs =
    stores.isShared && !readOnly
      ? regularly(service.presence.renew, {
          ...{ seconds: signSeconds, signal: leaving.signal, log: logger },
        })
      : undefined

  const running = started.move()
  return {
    url,
    firstKey,
    async stop(hurry) {
      stopping.abort()
      await close(app, config.stopSeconds, hurry)
      await sweeps
      // Requests whose connections were cut may still wait for texts to be read.
      await rules.giveUp()
      await service.settled()
      // Until then the others must not take what requests are still writing.
      leaving.abort()
      await signs
      await leave(service, logger)
      await running.disposeAsync()
    },
  }
}

async function listen(app: FastifyInstance, { host, port }: Config['listen']): Promise<string> {
  await app.listen({ host, port })
  const [address] = app.addresses()
  const bound = typeof address === 'object' ? address.port : port
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`
}

async function close(
  app: FastifyInstance,
  stopSeconds: number,
  hurry: AbortSignal | undefined,
): Promise<void> {
  const cut = () => app.server.closeAllConnections()
  const deadline = setTimeout(cut, hurry?.aborted === true ? 0 : stopSeconds * 1000)
  hurry?.addEventListener('abort', cut)
  try {
    await app.close()
  } finally {
    clearTimeout(deadline)
    hurry?.removeEventListener('abort', cut)
  }
}

interface Regularly {
  readonly seconds: number
  readonly signal: AbortSignal
  readonly log: FastifyBaseLogger
}

/** What fails is done the next time; until the signal. */
async function regularly(
  work: () => Promise<void>,
  { seconds, signal, log }: Regularly,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work()
    } catch (error) {
      log.error({ err: error }, 'work in the background failed; the next turn tries again')
    }
    await delay(seconds * 1000, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

/** If it fails the others, or the next start, find out by themselves. */
async function leave({ presence }: Service, log: FastifyBaseLogger): Promise<void> {
  await presence.leave().catch((error: unknown) => {
    log.warn({ err: error }, 'the server ends without a word to the others')
  })
}
