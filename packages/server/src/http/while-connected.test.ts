import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ClientLeft } from './body-source.ts'
import { whileConnected } from './while-connected.ts'

/** A server that gives a connection up on which nothing moves for 20 milliseconds. */
async function start(listener: RequestListener) {
  const server = createServer(listener)
  server.setTimeout(20)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

describe('work while its client is connected', () => {
  it('may take longer than a connection may idle', async () => {
    await using server = await start(async (_, response) => {
      response.end(await whileConnected(response, () => delay(200, 'late')))
    })
    expect(await (await fetch(server.url)).text()).toBe('late')
  })

  it('hears when the client leaves, and of nothing once it is done', async () => {
    const { promise: heard, resolve } = Promise.withResolvers<unknown>()
    const signals: AbortSignal[] = []
    await using server = await start(async ({ url }, response) => {
      await whileConnected(response, async (signal) => {
        signals.push(signal)
        if (url === '/') return
        signal.addEventListener('abort', () => resolve(signal.reason))
        await heard
      })
      response.end()
    })
    await (await fetch(server.url)).text()
    const left = fetch(`${server.url}/long`, { signal: AbortSignal.timeout(50) })
    await expect(left).rejects.toThrow()
    expect(await heard).toBeInstanceOf(ClientLeft)
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true])
  })
})
