import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { FilePage } from '@coffer/contract'
import fc from 'fast-check'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { type Client, startServer } from './start-server.ts'

/** Every route that the server adds, taken from its router while it starts. */
const routes: { method: string; url: string }[] = []
function collectRoutes(message: unknown): void {
  const { fastify } = message as { fastify: FastifyInstance }
  fastify.addHook('onRoute', ({ method, url }: RouteOptions) => {
    for (const name of [method].flat()) routes.push({ method: name, url })
  })
}
subscribe('fastify.initialization', collectRoutes)
const server = await startServer()
unsubscribe('fastify.initialization', collectRoutes)
afterAll(() => server[Symbol.asyncDispose]())

/** An id that is no file's, in the form of one that is. */
function neverId(): string {
  return `file-${randomBytes(11).toString('hex').replaceAll('0', 'z')}`
}

interface Answer {
  readonly status: number
  /** The status line, the headers and the body: whatever a client can see. */
  readonly text: string
}

/** What differs between two answers whatever they say. */
const perAnswer = /^(?:date|x-request-id): .*\n/gm

async function ask(
  client: Client,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return read(await client.fetch(path, { method, headers }))
}

async function read(response: Response): Promise<Answer> {
  const { status, statusText, headers } = response
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\n`)
  return { status, text: `${status} ${statusText}\n${lines.join('')}\n${await response.text()}` }
}

/** All that can be asked about an id. */
const questions = [
  { title: 'GET', method: 'GET', path: (id: string) => `/v1/files/${id}` },
  { title: 'HEAD', method: 'HEAD', path: (id: string) => `/v1/files/${id}` },
  { title: 'DELETE', method: 'DELETE', path: (id: string) => `/v1/files/${id}` },
  { title: 'GET of the content', method: 'GET', path: contentPath },
  { title: 'HEAD of the content', method: 'HEAD', path: contentPath },
  {
    title: 'GET of a range',
    method: 'GET',
    path: contentPath,
    headers: { range: 'bytes=1000000-' },
  },
  {
    title: 'GET of the content if it has changed',
    method: 'GET',
    path: contentPath,
    headers: { 'if-none-match': '*' },
  },
  { title: 'the page after it', method: 'GET', path: (id: string) => `/v1/files?after=${id}` },
  {
    title: 'the page of a purpose after it',
    method: 'GET',
    path: (id: string) => `/v1/files?purpose=user_data&order=asc&limit=1&after=${id}`,
  },
  { title: 'POST', method: 'POST', path: (id: string) => `/v1/files/${id}` },
]

function contentPath(id: string): string {
  return `/v1/files/${id}/content`
}

describe('the id of a file of another tenant', () => {
  it.each(questions)('is like one that never was for $title', async ({ method, path, headers }) => {
    const [owner, other] = [server.addTenant(), server.addTenant()]
    const { id } = await owner.create()
    await expectUnknown(other, id, { method, path, headers })
    expect(await owner.list()).toMatchObject({ data: [{ id }] })
  })

  it.each(questions)(
    'stays so once it is deleted, for $title',
    async ({ method, path, headers }) => {
      const [owner, other] = [server.addTenant(), server.addTenant()]
      const { id } = await owner.create()
      await ask(owner, 'DELETE', `/v1/files/${id}`)
      await expectUnknown(other, id, { method, path, headers })
    },
  )
})

/** Checks that the answer about an id is, but for the id, the one about an id that never was. */
async function expectUnknown(
  client: Client,
  id: string,
  { method, path, headers }: Pick<Question, 'method' | 'path' | 'headers'>,
): Promise<void> {
  const never = neverId()
  expect(never).toHaveLength(id.length)
  const about = await ask(client, method, path(id), headers)
  const aboutNever = await ask(client, method, path(never), headers)
  expect(about.status).toBe(method === 'POST' ? 405 : 404)
  expect(masked(about, id)).toBe(masked(aboutNever, never))
}

interface Question {
  readonly method: string
  readonly path: (id: string) => string
  readonly headers?: Record<string, string> | undefined
}

function masked({ text }: Answer, id: string): string {
  return text.replaceAll(id, 'ID').replace(perAnswer, '')
}

describe('the organization and project that a request names', () => {
  it.each([
    ['organization', 'openai-organization', 'organization_id'],
    ['project', 'openai-project', 'project_id'],
  ] as const)('tell nothing of another %s', async (_, header, field) => {
    const [client, other] = [server.addTenant(), server.addTenant()]
    await other.create()
    const never = other[field].replace(/[0-9a-f]{16}$/, '0123456789abcdef')
    const about = await ask(client, 'GET', '/v1/files', { [header]: other[field] })
    const aboutNever = await ask(client, 'GET', '/v1/files', { [header]: never })
    expect(about.status).toBe(401)
    expect(masked(about, other[field])).toBe(masked(aboutNever, never))
  })
})

interface Tenant {
  readonly client: Client
  /** A word that stands in the name and the content of all files of the tenant. */
  readonly canary: string
  /** From the first to the last created; deleted ones still mark their place in the list. */
  readonly files: { readonly id: string; readonly content: string; deleted: boolean }[]
}

/** Where an operation takes its id from: which tenant's file, by its number. */
const anyTenant = fc.constantFrom(0, 1, 2 as const)
const chosen = fc.record({ whose: anyTenant, file: fc.nat(9) })
const operation = fc.record({
  who: anyTenant,
  what: fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('create' as const), on: chosen }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom('retrieve', 'delete', 'download', 'list after' as const),
        on: chosen,
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('list' as const), on: chosen }) },
  ),
})

describe('three tenants who ask for the files of each other', () => {
  it('each see only their own, in every part of every answer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 40 }), async (steps) => {
        const tenants = [newTenant(), newTenant(), newTenant()] as const
        for (const { who, what } of steps) {
          const tenant = tenants[who]
          const owner = tenants[what.on.whose]
          const answer = await act(tenant, owner, what)
          for (const other of tenants) {
            if (other === tenant) continue
            const { organization_id, project_id, apiKey } = other.client
            for (const secret of [other.canary, organization_id, project_id, apiKey]) {
              expect(answer.text).not.toContain(secret)
            }
          }
        }
        for (const { client, files } of tenants) {
          const kept = files.filter(({ deleted }) => !deleted)
          expect((await client.list()).data.map(({ id }) => id)).toEqual(
            kept.map(({ id }) => id).reverse(),
          )
          expect(client.usedBytes()).toBe(
            kept.reduce((sum, { content }) => sum + content.length, 0),
          )
        }
      }),
      { numRuns: 30 },
    )
  })
})

function newTenant(): Tenant {
  return {
    client: server.addTenant(),
    canary: `canary-${randomBytes(8).toString('hex')}`,
    files: [],
  }
}

type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never

/** Does one operation, and checks that its answer is what the model of the files says. */
async function act(
  { client, canary, files }: Tenant,
  owner: Tenant,
  { kind, on }: Operation['what'],
): Promise<Answer> {
  if (kind === 'create') {
    const content = `${canary} `.repeat(files.length + 1)
    const name = `${canary}-${files.length}.txt`
    const response = await client.upload(content, { purpose: 'user_data' }, name)
    const { id } = (await response.clone().json()) as { id: string }
    expect(response.status).toBe(200)
    files.push({ id, content, deleted: false })
    return read(response)
  }
  if (kind === 'list') return listed(await ask(client, 'GET', '/v1/files'), files)

  const file = owner.files[on.file % owner.files.length]
  const id = file?.id ?? neverId()
  const isOwn = file !== undefined && owner.client === client
  switch (kind) {
    case 'list after': {
      const answer = await ask(client, 'GET', `/v1/files?after=${id}`)
      // A file that was deleted lately still marks its place, for its owner.
      if (isOwn) return listed(answer, files.slice(0, files.indexOf(file)))
      return expectStatus(answer, 404)
    }
    case 'retrieve': {
      const answer = await ask(client, 'GET', `/v1/files/${id}`)
      return expectStatus(answer, isOwn && !file.deleted ? 200 : 404)
    }
    case 'download': {
      const answer = await ask(client, 'GET', contentPath(id))
      if (isOwn && !file.deleted) expect(bodyOf(answer)).toBe(file.content)
      return expectStatus(answer, isOwn && !file.deleted ? 200 : 404)
    }
    case 'delete': {
      const answer = await ask(client, 'DELETE', `/v1/files/${id}`)
      expectStatus(answer, isOwn && !file.deleted ? 200 : 404)
      if (isOwn) file.deleted = true
      return answer
    }
    default:
      throw kind satisfies never
  }
}

function expectStatus(answer: Answer, status: number): Answer {
  expect(answer.status).toBe(status)
  return answer
}

function bodyOf({ text }: Answer): string {
  return text.slice(text.indexOf('\n\n') + 2)
}

/** Checks that these are the files of a page, the last created first. */
function listed(answer: Answer, files: Tenant['files']): Answer {
  expectStatus(answer, 200)
  const { data } = FilePage.parse(JSON.parse(bodyOf(answer)))
  const kept = files.filter(({ deleted }) => !deleted)
  expect(data.map(({ id }) => id)).toEqual(kept.map(({ id }) => id).reverse())
  return answer
}

describe('every route of the router', () => {
  /** What anyone may ask, as the README says; all of it is the same for everyone. */
  const open = ['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs']

  function isOpen({ method, url }: { method: string; url: string }): boolean {
    return ['GET', 'HEAD'].includes(method) && (open.includes(url) || url.startsWith('/docs/'))
  }

  async function statusOf(
    { method, url }: { method: string; url: string },
    headers: Record<string, string> = {},
  ): Promise<number> {
    const path = url.replace(/:\w+|\*/g, 'anything')
    const response = await fetch(`${server.url}${path}`, { method, headers })
    await response.body?.cancel()
    return response.status
  }

  it('is seen by this test', () => {
    const seen = routes.map(({ method, url }) => `${method} ${url}`)
    expect(seen).toEqual(
      expect.arrayContaining([
        'POST /v1/files',
        'GET /v1/files',
        'GET /v1/files/:file_id',
        'DELETE /v1/files/:file_id',
        'GET /v1/files/:file_id/content',
        'HEAD /v1/files/:file_id/content',
        'GET /openapi.json',
        'GET /docs/static/*',
      ]),
    )
  })

  it.each([
    ['without a key', {}],
    ['with an unknown key', { authorization: 'Bearer sk-nobody' }],
    ['with the key of another scheme', { authorization: `Digest ${server.apiKey}` }],
  ])('answers 401 %s unless it is open to anyone', async (_, headers) => {
    const answered: string[] = []
    // `fetch` refuses to send TRACE.
    for (const route of routes.filter(({ method }) => method !== 'TRACE')) {
      const status = await statusOf(route, headers)
      // A method that the path does not have is refused before anyone is asked who they are.
      if (status !== 401 && status !== 405 && !isOpen(route)) {
        answered.push(`${route.method} ${route.url}: ${status}`)
      }
    }
    expect(answered).toEqual([])
  })

  it('that is open to anyone asks for no key', async () => {
    for (const route of routes.filter(isOpen)) expect(await statusOf(route)).not.toBe(401)
  })

  it('says the same of a wrong key whatever it asks for', async () => {
    const { id } = await server.create()
    for (const path of [`/v1/files/${id}`, `/v1/files/${neverId()}`, contentPath(id)]) {
      const response = await server.fetch(path, { headers: { authorization: 'Bearer sk-nobody' } })
      expect(await readRefusal(response)).toEqual(
        refusal(401, 'Incorrect API key provided: *********.', { code: 'invalid_api_key' }),
      )
    }
  })
})
