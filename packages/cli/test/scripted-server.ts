/** A server that answers what a test says, where the real one would not. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ScriptedServer extends AsyncDisposable {
  readonly env: { readonly OPENAI_BASE_URL: string; readonly OPENAI_API_KEY: string }
}

export async function startScripted(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<ScriptedServer> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    env: { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: 'sk-scripted' },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Answers as an honest server does, of files that it is given. */
export function servingFiles(files: readonly Record<string, unknown>[], content = 'bytes') {
  return ({ url = '' }: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(url, 'http://host')
    const id = decodeURIComponent(pathname.split('/')[3] ?? '')
    const json = (value: unknown, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(value))
    }
    if (id === '') return json({ object: 'list', data: files, has_more: false })
    const file = files.find((one) => one['id'] === id)
    if (file === undefined) return json({ error: { message: `No such File object: ${id}` } }, 404)
    if (pathname.endsWith('/content')) return response.end(content)
    return json(file)
  }
}
