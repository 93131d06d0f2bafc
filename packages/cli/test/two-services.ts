/** Files at a real server, for what goes from one to another. */

import { type FakeOptions, type Outcome, runFake } from './fake-io.ts'
import type { Coffer } from './start-coffer.ts'

export interface AtServer {
  readonly id: string
  readonly filename: string
  readonly purpose: string
  readonly bytes: number
  readonly created_at: number
  readonly expires_at: number | null
}

export interface NewFile {
  readonly name: string
  readonly content?: string | Uint8Array<ArrayBuffer>
  readonly purpose?: string
  readonly expiresAfter?: number
}

export interface Service {
  readonly env: { readonly OPENAI_BASE_URL: string; readonly OPENAI_API_KEY: string }
  add(file: NewFile): Promise<AtServer>
  /** The oldest first. */
  list(): Promise<AtServer[]>
  content(id: string): Promise<Buffer>
  /** The content of each file, by its name. */
  texts(): Promise<Record<string, string>>
  remove(id: string): Promise<void>
  clear(): Promise<void>
  /** Runs a command that talks to it. */
  go(args: readonly string[], options?: FakeOptions): Promise<Outcome>
}

export function serviceOf({ url, key, fetch }: Coffer): Service {
  const env = { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }
  async function ask(path: string, init?: RequestInit): Promise<Response> {
    const answer = await fetch(`/v1/files${path}`, init)
    if (!answer.ok) throw new Error(`${path} is answered ${answer.status}: ${await answer.text()}`)
    return answer
  }
  const service: Service = {
    env,
    async add({ name, content = name, purpose = 'user_data', expiresAfter }) {
      const body = new FormData()
      body.set('purpose', purpose)
      if (expiresAfter !== undefined) {
        body.set('expires_after[anchor]', 'created_at')
        body.set('expires_after[seconds]', String(expiresAfter))
      }
      body.set('file', new Blob([content]), name)
      return (await (await ask('', { method: 'POST', body })).json()) as AtServer
    },
    async list() {
      return ((await (await ask('?order=asc')).json()) as { data: AtServer[] }).data
    },
    async content(id) {
      return Buffer.from(await (await ask(`/${id}/content`)).arrayBuffer())
    },
    async texts() {
      const files = await service.list()
      const texts = files.map(async ({ id, filename }) => [
        filename,
        `${await service.content(id)}`,
      ])
      return Object.fromEntries(await Promise.all(texts))
    },
    async remove(id) {
      await ask(`/${id}`, { method: 'DELETE' })
    },
    async clear() {
      for (const { id } of await service.list()) await service.remove(id)
    },
    go: (args, options = {}) => runFake(args, { ...options, env: { ...env, ...options.env } }),
  }
  return service
}
