/** A real server on a free port of loopback, with its own data folder, gone after the test. */

import { randomBytes } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { File, FilePage, type UploadPurpose } from '@coffer/contract'
import { type Clock, readConfig, type SettingName, serve } from '@coffer/server'
import { pino } from 'pino'
import { expect } from 'vitest'
import { digestApiKey } from '../src/service/access.ts'
import { checkAnswer } from './answers.ts'
import { openConnection, type RawConnection } from './raw-connection.ts'
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
  usedBytes(): number
}

export interface TestServer extends Client, AsyncDisposable {
  /** As http://127.0.0.1:PORT */
  readonly url: string
  readonly folder: string
  /** What the server logged, parsed. */
  readonly logs: LogLine[]
  /** The next line with this message that is logged from now on. */
  logged(message: string): Promise<LogLine>
  /** Makes another organization with a project and a key of its own. */
  addTenant(): Client
  /** Opens a connection to write and read bytes on; closed with the server at the latest. */
  connect(): Promise<RawConnection>
  /** All that is kept of files and uploads, as far as the disk and the database know. */
  stored(): Promise<Stored>
  /** Runs SQL on the database of the server, beside it. */
  query<Row>(sql: string, ...values: (string | number)[]): Row[]
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
  /** A data folder to use and keep, in place of a new one. */
  readonly folder?: string
}

export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'coffer-test-')))
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
    COFFER_DATA: folder,
    COFFER_API_KEY: apiKey,
    ...options.settings,
  })
  const server = await serve(config, {
    logger,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  })
  const connections = new Set<RawConnection>()

  function query<Row>(sql: string, ...values: (string | number)[]): Row[] {
    using database = new DatabaseSync(join(folder, 'coffer.db'))
    database.exec('pragma busy_timeout = 5000')
    return database.prepare(sql).all(...values) as Row[]
  }

  function clientOf(key: string): Client {
    const [owner] = query<Pick<Client, 'organization_id' | 'project_id'>>(
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
      usedBytes() {
        const sql = 'select used_bytes from organizations where id = ?'
        return (
          query<{ used_bytes: number }>(sql, owner.organization_id)[0]?.used_bytes ?? Number.NaN
        )
      },
    }
    return client
  }

  return {
    ...clientOf(apiKey),
    url: server.url,
    folder,
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
    addTenant() {
      const key = `sk-${randomBytes(16).toString('hex')}`
      const id = randomBytes(8).toString('hex')
      query(
        'insert into organizations (id, name, created_at) values (?, ?, 0)',
        `org-${id}`,
        'Another',
      )
      query(
        'insert into projects (id, organization_id, name, created_at) values (?, ?, ?, ?)',
        ...[`proj_${id}`, `org-${id}`, 'Another', 4_000_000_000],
      )
      query(
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
      const root = join(folder, 'blobs')
      const entries = await readdir(root, { recursive: true, withFileTypes: true })
      // The mark of the store is written anew at times, as a draft first.
      const isBlob = (entry: Dirent) =>
        entry.isFile() && entry.parentPath !== root && entry.name !== 'STORE'
      using database = new DatabaseSync(join(root, 'small-blobs.db'), { timeout: 5000 })
      const small = database.prepare('select id as name from blobs').all() as { name: string }[]
      const blobs = [...entries.filter(isBlob), ...small].map(({ name }) => name).sort()
      const [counts] = query<Omit<Stored, 'blobs' | 'looseBlobs'>>(
        `select (select count(*) from files) as files,
          (select sum(used_bytes) from organizations) as usedBytes`,
      )
      if (counts === undefined) throw new Error('SQLite did not count.')
      return {
        ...counts,
        blobs,
        // Listed in advance for uploads to come, and nothing written yet.
        looseBlobs: query<{ blob_id: string }>('select blob_id from loose_blobs').filter(
          ({ blob_id }) => blobs.includes(blob_id),
        ).length,
      }
    },
    stop: (hurry) => server.stop(hurry),
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy()
      await server.stop()
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}
