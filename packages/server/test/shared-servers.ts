/**
 * Servers that all tests of a run share. Vitest runs this in its main process; it starts each when
 * the first test asks for it, and ends them after the last.
 */

import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Answers GET of a server's name with what is needed to talk to it, as JSON. */
    readonly sharedServers: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const running = new AsyncDisposableStack()
  const started = new Map<string, Promise<unknown>>()
  // Imported late, as most runs need neither.
  const starts: Record<string, () => Promise<unknown>> = {
    async postgres() {
      const { startPostgresServer } = await import('./postgres-server.ts')
      const { url } = running.use(await startPostgresServer())
      return { url }
    },
    async s3() {
      const { startS3Server } = await import('./s3-server.ts')
      const { endpoint, credentials } = running.use(await startS3Server())
      return { endpoint, credentials }
    },
  }

  const listener: RequestListener = async ({ url = '' }, response) => {
    const name = url.slice(1)
    const server = started.get(name) ?? starts[name]?.()
    if (server !== undefined) started.set(name, server)
    try {
      response.end(JSON.stringify(await server))
    } catch (error) {
      response.writeHead(500).end(error instanceof Error ? error.stack : String(error))
    }
  }
  const lender = createServer((request, response) => void listener(request, response))
  lender.listen(0, '127.0.0.1')
  await once(lender, 'listening')
  const address = lender.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  project.provide('sharedServers', `http://127.0.0.1:${port}`)

  return async () => {
    lender.closeAllConnections()
    await once(lender.close(), 'close')
    await Promise.allSettled(started.values())
    await running.disposeAsync()
  }
}
