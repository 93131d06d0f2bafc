import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { FilePage, Upload, UploadPart, UploadPartPage } from '@coffer/contract'
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

/** An id that is nothing's, in the form of one that is. */
function neverId(prefix: 'file-' | 'upload_' | 'part_' = 'file-'): string {
  return `${prefix}${randomBytes(11).toString('hex').replaceAll('0', 'z')}`
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
  body?: BodyInit,
): Promise<Answer> {
  return read(await client.fetch(path, { method, headers, ...(body !== undefined && { body }) }))
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
    const [owner, other] = [await server.addTenant(), await server.addTenant()]
    const { id } = await owner.create()
    await expectUnknown(other, id, { method, path, headers })
    expect(await owner.list()).toMatchObject({ data: [{ id }] })
  })

  it.each(questions)(
    'stays so once it is deleted, for $title',
    async ({ method, path, headers }) => {
      const [owner, other] = [await server.addTenant(), await server.addTenant()]
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

const json = { 'content-type': 'application/json' }
const tus = { 'tus-resumable': '1.0.0' }
const tusBody = { ...tus, 'content-type': 'application/offset+octet-stream' }

function uploadPath(id: string): string {
  return `/v1/uploads/${id}`
}

/** What a question knows of the Upload that it is about. */
interface PartIds {
  readonly part_ids: readonly string[]
}

interface UploadQuestion extends Omit<Question, 'headers'> {
  readonly title: string
  readonly headers?: Record<string, string>
  readonly body?: (upload: PartIds) => BodyInit
  /** 404 if nothing is said. */
  readonly status?: number
}

/** All that can be asked about the id of an Upload, by both roads. */
const uploadQuestions: UploadQuestion[] = [
  { title: 'GET', method: 'GET', path: uploadPath },
  { title: 'HEAD', method: 'HEAD', path: uploadPath },
  { title: 'GET of the parts', method: 'GET', path: (id) => `${uploadPath(id)}/parts` },
  { title: 'HEAD of the parts', method: 'HEAD', path: (id) => `${uploadPath(id)}/parts` },
  {
    title: 'the page behind a part that never was',
    method: 'GET',
    path: (id) => `${uploadPath(id)}/parts?limit=1&after=part_none`,
  },
  {
    title: 'another part',
    method: 'POST',
    path: (id) => `${uploadPath(id)}/parts`,
    body: () => partForm('more'),
  },
  {
    title: 'a part that it has',
    method: 'POST',
    path: (id) => `${uploadPath(id)}/parts`,
    body: () => partForm('abc'),
  },
  {
    title: 'a part larger than it',
    method: 'POST',
    path: (id) => `${uploadPath(id)}/parts`,
    body: () => partForm('x'.repeat(100_000)),
  },
  {
    title: 'the completion',
    method: 'POST',
    path: (id) => `${uploadPath(id)}/complete`,
    headers: json,
    body: ({ part_ids }) => JSON.stringify({ part_ids }),
  },
  {
    title: 'the completion of no parts',
    method: 'POST',
    path: (id) => `${uploadPath(id)}/complete`,
    headers: json,
    body: () => JSON.stringify({ part_ids: [] }),
  },
  { title: 'the cancellation', method: 'POST', path: (id) => `${uploadPath(id)}/cancel` },
  { title: 'HEAD by tus', method: 'HEAD', path: tusPath, headers: tus },
  {
    title: 'PATCH by tus',
    method: 'PATCH',
    path: tusPath,
    headers: { ...tusBody, 'upload-offset': '6' },
    body: () => 'ghi',
  },
  {
    title: 'PATCH by tus at another offset',
    method: 'PATCH',
    path: tusPath,
    headers: { ...tusBody, 'upload-offset': '5' },
    body: () => 'ghi',
  },
  { title: 'DELETE by tus', method: 'DELETE', path: tusPath, headers: tus },
  { title: 'POST by tus', method: 'POST', path: tusPath, headers: tus, status: 405 },
  { title: 'OPTIONS by tus', method: 'OPTIONS', path: tusPath, headers: tus, status: 204 },
]

function tusPath(id: string): string {
  return `/v1/tus/${id}`
}

function partForm(data: string): FormData {
  const form = new FormData()
  form.set('data', new Blob([data]))
  return form
}

/** An Upload of 9 bytes, of which two parts of 3 are there. */
async function beginUpload(client: Client) {
  const about = { filename: 'a.txt', purpose: 'user_data', mime_type: 'text/plain', bytes: 9 }
  const { id } = await okay(
    Upload,
    await ask(client, 'POST', '/v1/uploads', json, JSON.stringify(about)),
  )
  const part_ids: string[] = []
  for (const data of ['abc', 'def']) part_ids.push(await addPart(client, id, data))
  return { id, part_ids }
}

async function addPart(client: Client, upload: string, data: string): Promise<string> {
  const path = `${uploadPath(upload)}/parts`
  return okay(UploadPart, await ask(client, 'POST', path, {}, partForm(data))).id
}

async function complete(client: Client, id: string, part_ids: readonly string[]): Promise<Answer> {
  return ask(client, 'POST', `${uploadPath(id)}/complete`, json, JSON.stringify({ part_ids }))
}

function okay<Shape>(shape: { parse(value: unknown): Shape }, answer: Answer): Shape {
  return shape.parse(JSON.parse(bodyOf(expectStatus(answer, 200))))
}

describe('the id of an Upload of another tenant', () => {
  const ends = {
    pending: async () => {},
    completed: async (owner: Client, { id, part_ids }: { id: string } & PartIds) => {
      const last = await addPart(owner, id, 'ghi')
      expectStatus(await complete(owner, id, [...part_ids, last]), 200)
    },
    cancelled: async (owner: Client, { id }: { id: string }) => {
      expectStatus(await ask(owner, 'POST', `${uploadPath(id)}/cancel`), 200)
    },
  }

  describe.each(['pending', 'completed', 'cancelled'] as const)('that is %s', (end) => {
    it.each(uploadQuestions)(
      'is like one that never was for $title',
      async ({ method, path, headers, body, status = 404 }) => {
        const [owner, other] = [await server.addTenant(), await server.addTenant()]
        const upload = await beginUpload(owner)
        await ends[end](owner, upload)
        const before = await ask(owner, 'GET', uploadPath(upload.id))
        const never = neverId('upload_')
        expect(never).toHaveLength(upload.id.length)

        const about = await ask(other, method, path(upload.id), headers, body?.(upload))
        const aboutNever = await ask(other, method, path(never), headers, body?.(upload))
        expect(about.status).toBe(status)
        expect(masked(about, upload.id)).toBe(masked(aboutNever, never))
        const after = await ask(owner, 'GET', uploadPath(upload.id))
        expect(bodyOf(after)).toBe(bodyOf(before))
        expect(await other.usedBytes()).toBe(0)
      },
    )
  })
})

describe('the id of a part of another tenant', () => {
  it.each([
    ['alone', (part: string, _own: readonly string[]) => [part]],
    ['behind parts of the own', (part: string, own: readonly string[]) => [...own, part]],
  ])('is like one that never was in a completion, %s', async (_, idsOf) => {
    const [owner, other] = [await server.addTenant(), await server.addTenant()]
    const [theirs, own] = [await beginUpload(owner), await beginUpload(other)]
    const part = await addPart(owner, theirs.id, 'ghi')
    const never = neverId('part_')
    expect(never).toHaveLength(part.length)
    const about = await complete(other, own.id, idsOf(part, own.part_ids))
    const aboutNever = await complete(other, own.id, idsOf(never, own.part_ids))
    expect(about.status).toBe(400)
    expect(masked(about, part)).toBe(masked(aboutNever, never))
    expect(await other.list()).toMatchObject({ data: [] })
    expectStatus(await complete(owner, theirs.id, [...theirs.part_ids, part]), 200)
  })

  it('is like one that never was for the page behind it', async () => {
    const [owner, other] = [await server.addTenant(), await server.addTenant()]
    const [theirs, own] = [await beginUpload(owner), await beginUpload(other)]
    const [part = ''] = theirs.part_ids
    const never = neverId('part_')
    const pageBehind = (id: string) => ask(other, 'GET', `${uploadPath(own.id)}/parts?after=${id}`)
    const [about, aboutNever] = [await pageBehind(part), await pageBehind(never)]
    expect(about.status).toBe(400)
    expect(masked(about, part)).toBe(masked(aboutNever, never))
  })

  it('is not told of bytes that both have sent', async () => {
    const [owner, other] = [await server.addTenant(), await server.addTenant()]
    const [theirs, own] = [await beginUpload(owner), await beginUpload(other)]
    const page = await ask(other, 'GET', `${uploadPath(own.id)}/parts`)
    expect(okay(UploadPartPage, page).data.map(({ id }) => id)).toEqual(own.part_ids)
    for (const id of theirs.part_ids) expect(own.part_ids).not.toContain(id)
  })
})

describe('the organization and project that a request names', () => {
  it.each([
    ['organization', 'openai-organization', 'organization_id'],
    ['project', 'openai-project', 'project_id'],
  ] as const)('tell nothing of another %s', async (_, header, field) => {
    const [client, other] = [await server.addTenant(), await server.addTenant()]
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
        const tenants = [await newTenant(), await newTenant(), await newTenant()] as const
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
          expect(await client.usedBytes()).toBe(
            kept.reduce((sum, { content }) => sum + content.length, 0),
          )
        }
      }),
      { numRuns: 30 },
    )
  })
})

async function newTenant(): Promise<Tenant> {
  return {
    client: await server.addTenant(),
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
        'POST /v1/uploads/:upload_id/complete',
        'PATCH /v1/tus/:upload_id',
        'GET /openapi.json',
        'GET /docs/static/*',
      ]),
    )
  })

  it('is asked about the ids of others', async () => {
    const asked = [...questions, ...uploadQuestions].map(({ method, path }) => {
      // With what stands in the router for an id.
      const forms = [path(':file_id'), path(':upload_id')]
      return forms.map((form) => `${method} ${form.replace(/\?.*$/, '')}`)
    })
    const known = new Set(asked.flat())
    const withIds = routes.filter(({ method, url }) => url.includes(':') && method !== 'TRACE')
    const missed: string[] = []
    for (const route of withIds) {
      const name = `${route.method} ${route.url}`
      const key = { authorization: `Bearer ${server.apiKey}` }
      if (!known.has(name) && (await statusOf(route, key)) !== 405) missed.push(name)
    }
    expect(withIds.length).toBeGreaterThan(0)
    expect(missed).toEqual([])
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
