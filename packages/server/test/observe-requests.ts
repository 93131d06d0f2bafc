/** Tells which requests of this process by `node:http` are under way. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'

export interface ObservedRequests extends Disposable {
  /** Those whose answer is not yet whole, or not yet taken whole by who asked. */
  running(): ClientRequest[]
}

const channel = 'http.client.request.start'

export function observeRequests(isMeant: (request: ClientRequest) => boolean): ObservedRequests {
  const running = new Set<ClientRequest>()
  function observe(message: unknown): void {
    const { request } = message as { request: ClientRequest }
    if (!isMeant(request)) return
    running.add(request)
    request.once('close', () => running.delete(request))
  }
  subscribe(channel, observe)
  return {
    running: () => [...running],
    [Symbol.dispose]: () => void unsubscribe(channel, observe),
  }
}
