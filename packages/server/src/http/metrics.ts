/** What operators' tools read at /metrics: the service's counts and those of requests and process. */

import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { type MeasureName, type Measures, measures } from '../service/measures.ts'

export interface Metrics extends Measures {
  /** Measures the requests of `app`, and shows all at /metrics. */
  watch(app: FastifyInstance): void
}

export function createMetrics(): Metrics {
  const register = new Registry()
  collectDefaultMetrics({ register, prefix: 'coffer_' })
  const counters = Object.entries(measures).map(([name, help]) => {
    const counter = new Counter({ name: `coffer_${name}_total`, help, registers: [register] })
    return [name, counter] as const
  })
  const counterOf = new Map<string, Counter>(counters)
  const requests = new Histogram({
    name: 'coffer_request_seconds',
    help: 'Seconds from the head of a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600],
    registers: [register],
  })

  return {
    add: (name: MeasureName, count = 1) => counterOf.get(name)?.inc(count),
    watch(app) {
      app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
        // The path itself holds ids, of which there is no end.
        const labels = { method, route: routeOptions.url ?? 'none', status: reply.statusCode }
        requests.observe(labels, reply.elapsedTime / 1000)
      })
      app.get('/metrics', {
        schema: { tags: ['Service'], summary: 'Counts for Prometheus.', hide: true },
        handler: async (_, reply) =>
          reply.type(register.contentType).send(await register.metrics()),
      })
    },
  }
}
