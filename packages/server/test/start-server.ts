/** A real server on a free port of loopback, with its own data folder, gone after the test. */

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Clock, readConfig, type SettingName, serve } from '@coffer/server'
import { pino } from 'pino'
import { digestApiKey } from '../src/service/access.ts'

export interface TestServer extends AsyncDisposable {
  /** As http://127.0.0.1:PORT */
  readonly url: string
  /** The key that `fetch` sends. */
  readonly apiKey: string
  readonly folder: string
  /** What the server logged, parsed. */
  readonly logs: Record<string, unknown>[]
  /** Asks with the server's key unless the headers say otherwise. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Creates a file and gives what the server answered, whatever that is. */
  upload(
    content: string | Uint8Array<ArrayBuffer>,
    fields: Record<string, string>,
    filename?: string,
  ): Promise<Response>
  /** Makes another organization with a project and a key of its own, and gives the key. */
  addTenant(): string
  stop(): Promise<void>
}

export interface StartOptions {
  readonly settings?: Partial<Record<SettingName, string>>
  readonly clock?: Clock
  /** A data folder to use and keep, in place of a new one. */
  readonly folder?: string
}

export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'coffer-test-')))
  const apiKey = 'sk-test-key'
  const logs: Record<string, unknown>[] = []
  const logger = pino({}, { write: (line: string) => void logs.push(JSON.parse(line)) })
  const config = readConfig({
    COFFER_LISTEN: '127.0.0.1:0',
    COFFER_DATA: folder,
    COFFER_API_KEY: apiKey,
    ...options.settings,
  })
  const server = await serve(config, {
    logger,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  })

  async function send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${apiKey}`)
    return fetch(`${server.url}${path}`, { ...init, headers })
  }

  return {
    url: server.url,
    apiKey,
    folder,
    logs,
    fetch: send,
    async upload(content, fields, filename = 'file.bin') {
      const form = new FormData()
      for (const [name, value] of Object.entries(fields)) form.append(name, value)
      form.append('file', new Blob([content]), filename)
      return send('/v1/files', { method: 'POST', body: form })
    },
    addTenant() {
      const key = `sk-${randomBytes(16).toString('hex')}`
      const id = randomBytes(8).toString('hex')
      using database = new DatabaseSync(join(folder, 'coffer.db'))
      database.exec('pragma busy_timeout = 5000')
      database
        .prepare('insert into organizations (id, name, created_at) values (?, ?, 0)')
        .run(`org-${id}`, 'Another')
      database
        .prepare('insert into projects (id, organization_id, name, created_at) values (?, ?, ?, ?)')
        .run(`proj_${id}`, `org-${id}`, 'Another', 4_000_000_000)
      database
        .prepare(
          'insert into api_keys (id, organization_id, project_id, name, digest, created_at) values (?, ?, ?, ?, ?, 0)',
        )
        .run(`key_${id}`, `org-${id}`, `proj_${id}`, 'Key', digestApiKey(key))
      return key
    },
    stop: () => server.stop(),
    async [Symbol.asyncDispose]() {
      await server.stop()
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}
