/** A real server on a free port of loopback, with its own stores, gone after the test. */

import { randomBytes } from 'node:crypto'
import { File, FilePage, type UploadPurpose } from '@coffer/contract'
import { type Clock, readConfig, type SettingName, serve } from '@coffer/server'
import { pino } from 'pino'
import { expect } from 'vitest'
import { digestApiKey } from '../src/service/access.ts'
import { checkAnswer } from './answers.ts'
import { makeStores } from './make-stores.ts'
import { openConnection, type RawConnection } from './raw-connection.ts'
import type { TestStores } from './test-stores.ts'
import { validFiles } from './valid-content.ts'

/** Asks a server with the key of one tenant. */
export interface Client {
  readonly apiKey: string
  readonly organization_id: string
  readonly project_id: string
  /** Asks with the client's key unless the headers say otherwise, and checks what always holds. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Creates a file and gives what the server answered, whatever that is. */
  upload(
    content: string | Uint8Array<ArrayBuffer>,
    fields: Record<string, string>,
    filename?: string,
  ): Promise<Response>
  /** Creates a file, which must succeed. */
  create(
    content?: string | Uint8Array<ArrayBuffer>,
    fields?: Record<string, string>,
    filename?: string,
  ): Promise<File>
  /** Creates a file whose name and content are as its purpose asks. */
  createFor(purpose: UploadPurpose, fields?: Record<string, string>): Promise<File>
  /** Asks for one page, which must succeed; `query` as in `limit=2&order=asc`. */
  list(query?: string): Promise<FilePage>
  /** What the organization has used of its quota, by the database. */
  usedBytes(): Promise<number>
}

export interface TestServer extends Client, AsyncDisposable {
  /** As http://127.0.0.1:PORT */
  readonly url: string
  readonly stores: TestStores
  /** What the server logged, parsed. */
  readonly logs: LogLine[]
  /** The next line with this message that is logged from now on. */
  logged(message: string): Promise<LogLine>
  /** Makes another organization with a project and a key of its own. */
  addTenant(): Promise<Client>
  /** Opens a connection to write and read bytes on; closed with the server at the latest. */
  connect(): Promise<RawConnection>
  /** All that is kept of files and uploads, as far as the stores know. */
  stored(): Promise<Stored>
  /** Runs SQL on the database of the server, beside it. */
  query: TestStores['query']
  stop(hurry?: AbortSignal): Promise<void>
}

export type LogLine = Record<string, unknown>

export interface Stored {
  /** The blobs by their ids, unfinished ones too. */
  readonly blobs: string[]
  readonly files: number
  /** Of those that are written, whole or in part. */
  readonly looseBlobs: number
  /** Of all organizations. */
  readonly usedBytes: number
}

export interface StartOptions {
  readonly settings?: Partial<Record<SettingName, string>>
  readonly clock?: Clock
  /** Stores to use and keep, in place of new ones. */
  readonly stores?: TestStores
}

export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  await using started = new AsyncDisposableStack()
  const stores = options.stores ?? started.use(await makeStores())
  const { query } = stores
  const apiKey = options.settings?.COFFER_API_KEY ?? 'sk-test-0123456789abcdef'
  const logs: LogLine[] = []
  const waiting = new Set<(line: LogLine) => void>()
  const logger = pino(
    {},
    {
      write(text: string) {
        const line: LogLine = JSON.parse(text)
        logs.push(line)
        for (const look of waiting) look(line)
      },
    },
  )
  const config = readConfig({
    COFFER_LISTEN: '127.0.0.1:0',
    COFFER_API_KEY: apiKey,
    ...stores.settings,
    ...options.settings,
  })
  const server = await serve(config, {
    logger,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  })
  started.defer(() => server.stop())
  const connections = new Set<RawConnection>()
  started.defer(() => {
    for (const { socket } of connections) socket.destroy()
  })

  async function clientOf(key: string): Promise<Client> {
    const [owner] = await query<Pick<Client, 'organization_id' | 'project_id'>>(
      'select organization_id, project_id from api_keys where digest = ?',
      digestApiKey(key),
    )
    if (owner === undefined) throw new Error('The key is unknown.')

    async function send(path: string, init: RequestInit = {}): Promise<Response> {
      const headers = new Headers(init.headers)
      if (!headers.has('authorization')) headers.set('authorization', `Bearer ${key}`)
      const response = await fetch(`${server.url}${path}`, { ...init, headers })
      await checkAnswer(response)
      return response
    }

    const client: Client = {
      ...owner,
      apiKey: key,
      fetch: send,
      async upload(content, fields, filename = 'file.bin') {
        const form = new FormData()
        for (const [name, value] of Object.entries(fields)) form.append(name, value)
        form.append('file', new Blob([content]), filename)
        return send('/v1/files', { method: 'POST', body: form })
      },
      async create(content = 'content', fields = { purpose: 'user_data' }, filename = 'file.bin') {
        const response = await client.upload(content, fields, filename)
        expect(response.status).toBe(200)
        return File.parse(await response.json())
      },
      createFor(purpose, fields = {}) {
        const { content, filename } = validFiles[purpose]
        return client.create(content, { purpose, ...fields }, filename)
      },
      async list(search = '') {
        const response = await send(`/v1/files?${search}`)
        expect(response.status).toBe(200)
        return FilePage.parse(await response.json())
      },
      async usedBytes() {
        const sql = 'select used_bytes from organizations where id = ?'
        const [row] = await query<{ used_bytes: number }>(sql, owner.organization_id)
        return row?.used_bytes ?? Number.NaN
      },
    }
    return client
  }

  const client = await clientOf(apiKey)
  const running = started.move()
  return {
    ...client,
    url: server.url,
    stores,
    logs,
    query,
    logged(message) {
      return new Promise((resolve) => {
        const look = (line: LogLine) => {
          if (line['msg'] !== message) return
          waiting.delete(look)
          resolve(line)
        }
        waiting.add(look)
      })
    },
    async addTenant() {
      const key = `sk-${randomBytes(16).toString('hex')}`
      const id = randomBytes(8).toString('hex')
      await query(
        'insert into organizations (id, name, created_at) values (?, ?, 0)',
        `org-${id}`,
        'Another',
      )
      await query(
        'insert into projects (id, organization_id, name, created_at) values (?, ?, ?, ?)',
        ...[`proj_${id}`, `org-${id}`, 'Another', 4_000_000_000],
      )
      await query(
        'insert into api_keys (id, organization_id, project_id, name, digest, created_at) ' +
          'values (?, ?, ?, ?, ?, 0)',
        ...[`key_${id}`, `org-${id}`, `proj_${id}`, 'Key', digestApiKey(key)],
      )
      return clientOf(key)
    },
    async connect() {
      const connection = await openConnection(Number(new URL(server.url).port))
      connections.add(connection)
      return connection
    },
    async stored() {
      const blobs = await stores.listBlobs()
      // The sum of a column is of a type that can hold more, with PostgreSQL.
      const [counts] = await query<Omit<Stored, 'blobs' | 'looseBlobs'>>(
        `select (select count(*) from files) as "files",
          (select cast(sum(used_bytes) as bigint) from organizations) as "usedBytes"`,
      )
      if (counts === undefined) throw new Error('The database did not count.')
      const loose = await query<{ blob_id: string }>('select blob_id from loose_blobs')
      return {
        ...counts,
        blobs,
        // Listed in advance for uploads to come, and nothing written yet.
        looseBlobs: loose.filter(({ blob_id }) => blobs.includes(blob_id)).length,
      }
    },
    stop: (hurry) => server.stop(hurry),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
