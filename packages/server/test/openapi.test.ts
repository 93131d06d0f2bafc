import { runInNewContext } from 'node:vm'
import { UploadPurpose } from '@coffer/contract'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createHead } from './form-body.ts'
import { type Client, startServer } from './start-server.ts'
import { batchLine, validFiles } from './valid-content.ts'

const server = await startServer({ settings: { COFFER_MAX_FILE_BYTES: '1000' } })
afterAll(() => server[Symbol.asyncDispose]())

const Schema = z.record(z.string(), z.unknown())
const Content = z.record(z.string(), z.object({ schema: Schema }))
const Operation = z.object({
  operationId: z.string().optional(),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  parameters: z
    .array(z.object({ name: z.string(), in: z.string(), required: z.boolean(), schema: Schema }))
    .default([]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.object({ content: Content.optional() })),
})
type Operation = z.infer<typeof Operation>
const Document = z.object({
  openapi: z.string(),
  components: z.object({ securitySchemes: z.record(z.string(), Schema) }),
  paths: z.record(z.string(), z.record(z.string(), Operation)),
})

const published: unknown = await (await fetch(`${server.url}/openapi.json`)).json()
const document = Document.parse(published)
const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true })

function operationOf(operationId: string): Operation {
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item))
  const found = operations.find((operation) => operation.operationId === operationId)
  if (found === undefined) throw new Error(`There is no operation ${operationId}.`)
  return found
}

/** The schema of a parameter of a query or of a field of the form. */
function inputOf(operationId: string, name: string): Record<string, unknown> {
  const { parameters, requestBody } = operationOf(operationId)
  const parameter = parameters.find((one) => one.name === name)
  if (parameter !== undefined) return parameter.schema
  const form = z
    .object({ properties: z.record(z.string(), Schema) })
    .parse(requestBody?.content['multipart/form-data']?.schema)
  return Schema.parse(form.properties[name])
}

/** Checks that the document says of this status and type what the answer is. */
async function expectDescribed(response: Response, operationId: string): Promise<void> {
  const { responses } = operationOf(operationId)
  const described = responses[String(response.status)] ?? responses['default']
  const body = await response.text()
  const content = described?.content ?? {}
  const type = response.headers.get('content-type')?.split(';')[0]
  if (type === undefined) {
    expect({ content, body }).toEqual({ content: {}, body: '' })
    return
  }
  expect(Object.keys(content)).toContain(type)
  if (type !== 'application/json') return
  const validate = ajv.compile(content[type]?.schema ?? false)
  validate(JSON.parse(body))
  expect(validate.errors).toBeNull()
}

describe('/openapi.json', () => {
  it('is a valid document of OpenAPI 3.1', async () => {
    expect(document.openapi).toMatch(/^3\.1\./)
    expect(await new Validator().validate(structuredClone(Schema.parse(published)))).toEqual({
      valid: true,
    })
  })

  it('describes every operation by the name that the vendor gave it, and ours in its manner', () => {
    const named = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { operationId }]) => [operationId, `${method} ${path}`]),
    )
    expect(Object.fromEntries(named.filter(([id]) => id !== undefined))).toEqual({
      createFile: 'post /v1/files',
      checkFile: 'post /v1/files/check',
      listFiles: 'get /v1/files',
      retrieveFile: 'get /v1/files/{file_id}',
      deleteFile: 'delete /v1/files/{file_id}',
      downloadFile: 'get /v1/files/{file_id}/content',
      createUpload: 'post /v1/uploads',
      addUploadPart: 'post /v1/uploads/{upload_id}/parts',
      completeUpload: 'post /v1/uploads/{upload_id}/complete',
      cancelUpload: 'post /v1/uploads/{upload_id}/cancel',
      retrieveUpload: 'get /v1/uploads/{upload_id}',
      listUploadParts: 'get /v1/uploads/{upload_id}/parts',
    })
  })

  it('asks for a bearer token in every operation of the API, and only there', () => {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const { security = [] } of Object.values(item)) {
        const schemes = security.flatMap((one) => Object.keys(one))
        expect(schemes.map((name) => document.components.securitySchemes[name])).toEqual(
          path.startsWith('/v1/')
            ? [expect.objectContaining({ type: 'http', scheme: 'bearer' })]
            : [],
        )
      }
    }
  })
})

const unknown = 'file-1111111111111111111111'

async function download(client: Client, headers: Record<string, string>): Promise<Response> {
  const { id } = await client.create()
  return client.fetch(`/v1/files/${id}/content`, { headers })
}

function check(client: Client, content: string, fields: Record<string, string>): Promise<Response> {
  const body = new FormData()
  for (const [name, value] of Object.entries(fields)) body.append(name, value)
  body.append('file', new Blob([content]), 'a.jsonl')
  return client.fetch('/v1/files/check', { method: 'POST', body })
}

const answers: {
  title: string
  operationId: string
  status: number
  ask: (client: Client) => Promise<Response>
}[] = [
  {
    title: 'a file that was created',
    operationId: 'createFile',
    status: 200,
    ask: (client) => client.upload('content', { purpose: 'user_data' }),
  },
  {
    title: 'a file that will expire',
    operationId: 'createFile',
    status: 200,
    ask: (client) => client.upload(batchLine(), { purpose: 'batch' }, 'a.jsonl'),
  },
  {
    title: 'a form without a purpose',
    operationId: 'createFile',
    status: 400,
    ask: (client) => client.upload('content', {}),
  },
  {
    title: 'a purpose that there is not',
    operationId: 'createFile',
    status: 400,
    ask: (client) => client.upload('content', { purpose: 'nonsense' }),
  },
  {
    title: 'a file that is too large',
    operationId: 'createFile',
    status: 413,
    ask: (client) => client.upload('x'.repeat(1001), { purpose: 'user_data' }),
  },
  {
    title: 'a body that is no form',
    operationId: 'createFile',
    status: 415,
    ask: (client) => client.fetch('/v1/files', { method: 'POST', body: 'content' }),
  },
  {
    title: 'a file whose content its purpose refuses',
    operationId: 'createFile',
    status: 400,
    ask: (client) => client.upload('[]\n{}\n', { purpose: 'batch' }, 'a.jsonl'),
  },
  {
    title: 'a file that could be uploaded',
    operationId: 'checkFile',
    status: 200,
    ask: (client) => check(client, batchLine(), { purpose: 'batch' }),
  },
  {
    title: 'a file that could not be uploaded',
    operationId: 'checkFile',
    status: 200,
    ask: (client) => check(client, '[]\n{}\n', { purpose: 'batch' }),
  },
  {
    title: 'a form without a purpose',
    operationId: 'checkFile',
    status: 400,
    ask: (client) => check(client, 'content', {}),
  },
  {
    title: 'an empty page',
    operationId: 'listFiles',
    status: 200,
    ask: (client) => client.fetch('/v1/files'),
  },
  {
    title: 'a page with more behind it',
    operationId: 'listFiles',
    status: 200,
    async ask(client) {
      await client.create()
      await client.createFor('batch')
      return client.fetch('/v1/files?limit=1')
    },
  },
  {
    title: 'a limit of zero',
    operationId: 'listFiles',
    status: 400,
    ask: (client) => client.fetch('/v1/files?limit=0'),
  },
  {
    title: 'a cursor that is no file',
    operationId: 'listFiles',
    status: 404,
    ask: (client) => client.fetch(`/v1/files?after=${unknown}`),
  },
  {
    title: 'a file',
    operationId: 'retrieveFile',
    status: 200,
    ask: async (client) => client.fetch(`/v1/files/${(await client.create()).id}`),
  },
  {
    title: 'no file',
    operationId: 'retrieveFile',
    status: 404,
    ask: (client) => client.fetch(`/v1/files/${unknown}`),
  },
  {
    title: 'a deleted file',
    operationId: 'deleteFile',
    status: 200,
    async ask(client) {
      const { id } = await client.create()
      return client.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    },
  },
  {
    title: 'no file',
    operationId: 'deleteFile',
    status: 404,
    ask: (client) => client.fetch(`/v1/files/${unknown}`, { method: 'DELETE' }),
  },
  {
    title: 'a content',
    operationId: 'downloadFile',
    status: 200,
    ask: (client) => download(client, {}),
  },
  {
    title: 'a content for a client that reads only text',
    operationId: 'downloadFile',
    status: 200,
    ask: (client) => download(client, { accept: 'application/json' }),
  },
  {
    title: 'a range of a content',
    operationId: 'downloadFile',
    status: 206,
    ask: (client) => download(client, { range: 'bytes=1-2' }),
  },
  {
    title: 'a content that has not changed',
    operationId: 'downloadFile',
    status: 304,
    ask: (client) => download(client, { 'if-none-match': '*' }),
  },
  {
    title: 'a range outside of the content',
    operationId: 'downloadFile',
    status: 416,
    ask: (client) => download(client, { range: 'bytes=100-' }),
  },
  {
    title: 'no file',
    operationId: 'downloadFile',
    status: 404,
    ask: (client) => client.fetch(`/v1/files/${unknown}/content`),
  },
]

describe('an answer is as the document describes it', () => {
  it.each(answers)('for $title of $operationId', async ({ operationId, status, ask }) => {
    const response = await ask(await server.addTenant())
    expect(response.status).toBe(status)
    await expectDescribed(response, operationId)
  })

  it.each([
    ['createFile', 'POST', '/v1/files'],
    ['checkFile', 'POST', '/v1/files/check'],
    ['listFiles', 'GET', '/v1/files'],
    ['retrieveFile', 'GET', `/v1/files/${unknown}`],
    ['deleteFile', 'DELETE', `/v1/files/${unknown}`],
    ['downloadFile', 'GET', `/v1/files/${unknown}/content`],
  ])('for a wrong key of %s', async (operationId, method, path) => {
    const headers = { authorization: 'Bearer sk-nobody' }
    const response = await server.fetch(path, { method, headers })
    expect(response.status).toBe(401)
    await expectDescribed(response, operationId)
  })

  it('for a request that is no HTTP', async () => {
    const connection = await server.connect()
    connection.write(createHead(server.apiKey, 'Content-Length: many'))
    const response = await connection.answer()
    expect(response.status).toBe(400)
    await expectDescribed(response, 'createFile')
  })
})

describe('a request is taken as the document describes it', () => {
  const Bounds = z.object({ minimum: z.int(), maximum: z.int() })
  const Choice = z.object({ enum: z.array(z.string()) })

  function uploadWith(client: Client, fields: Record<string, string>): Promise<Response> {
    return client.upload('{}', { purpose: 'user_data', ...fields }, 'a.jsonl')
  }

  it('as a query of any values that are allowed', async () => {
    const client = await server.addTenant()
    const bounds = Bounds.parse(inputOf('listFiles', 'limit'))
    const query = fc.record(
      {
        limit: fc.integer({ min: bounds.minimum, max: bounds.maximum }).map(String),
        order: fc.constantFrom(...Choice.parse(inputOf('listFiles', 'order')).enum),
        purpose: fc.constantFrom(...Choice.parse(inputOf('listFiles', 'purpose')).enum),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(query, async (values) => {
        const response = await client.fetch(`/v1/files?${new URLSearchParams(values)}`)
        expect(response.status).toBe(200)
        await expectDescribed(response, 'listFiles')
      }),
    )
  })

  it('as a form with any purpose that is allowed', async () => {
    const client = await server.addTenant()
    const { enum: purposes } = Choice.parse(inputOf('createFile', 'purpose'))
    for (const purpose of purposes) {
      const { content, filename } = validFiles[UploadPurpose.parse(purpose)]
      const response = await client.upload(content, { purpose }, filename)
      expect(response.status).toBe(200)
      await expectDescribed(response, 'createFile')
    }
  })

  const numbers: {
    operationId: string
    name: string
    send: (client: Client, value: number) => Promise<Response>
  }[] = [
    {
      operationId: 'listFiles',
      name: 'limit',
      send: (client, value) => client.fetch(`/v1/files?limit=${value}`),
    },
    {
      operationId: 'createFile',
      name: 'expires_after[seconds]',
      send: (client, value) =>
        uploadWith(client, {
          'expires_after[anchor]': 'created_at',
          'expires_after[seconds]': String(value),
        }),
    },
  ]

  it.each(numbers)('with the bounds of $name', async ({ operationId, name, send }) => {
    const client = await server.addTenant()
    const { minimum, maximum } = Bounds.parse(inputOf(operationId, name))
    const values = [minimum - 1, minimum, maximum, maximum + 1]
    const statuses: number[] = []
    for (const value of values) statuses.push((await send(client, value)).status)
    expect(statuses).toEqual([400, 200, 200, 400])
  })
})

describe('/docs', () => {
  /** The page, and what it links in attributes that a browser loads by itself. */
  async function readPage(path: string): Promise<{ response: Response; links: URL[] }> {
    const response = await fetch(`${server.url}${path}`)
    const text = await response.clone().text()
    const found = text.matchAll(/(?:src|href|action|data|poster|srcset)\s*=\s*["']?([^"'\s>]+)/g)
    return { response, links: [...found].map(([, link = '']) => new URL(link, response.url)) }
  }

  it.each(['/docs', '/docs/'])(
    'is HTML at %s that links only what this server has',
    async (path) => {
      const { response, links } = await readPage(path)
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(links.map(({ pathname }) => pathname.replace(/.*\./, ''))).toEqual(
        expect.arrayContaining(['js', 'css', 'png']),
      )
      for (const link of links) {
        expect(link.origin).toBe(server.url)
        const linked = await fetch(link)
        expect(linked.status).toBe(200)
        expect((await linked.bytes()).length).toBeGreaterThan(0)
      }
    },
  )

  it('has styles that load nothing but what they carry', async () => {
    const { links } = await readPage('/docs/')
    for (const link of links.filter(({ pathname }) => pathname.endsWith('.css'))) {
      const text = await (await fetch(link)).text()
      expect(text).not.toContain('@import')
      for (const [, url = ''] of text.matchAll(/url\(["']?([^"')]*)/g))
        expect(url).toMatch(/^data:/)
    }
  })

  it('shows the document of this server, and has nobody else check it', async () => {
    const { links } = await readPage('/docs/')
    const start = links.find(({ pathname }) => pathname.endsWith('swagger-initializer.js'))
    const script = await (await fetch(start ?? '')).text()
    const { url, validatorUrl } = configOf(script)
    // Its own default sends the address of the document to validator.swagger.io.
    expect(validatorUrl).toBeNull()
    expect(url.origin).toBe(server.url)
    expect(await (await fetch(url)).json()).toEqual(published)
  })
})

/** Runs the script that starts the page, as far as its page has what it asks for. */
function configOf(script: string): { url: URL; validatorUrl: unknown } {
  let config: unknown
  const start = Object.assign(
    (given: unknown) => {
      config = given
      return { initOAuth() {} }
    },
    { presets: {}, plugins: {} },
  )
  const window = { location: { href: `${server.url}/docs/` }, onload() {} }
  runInNewContext(`${script}; window.onload()`, {
    window,
    document: { createElement: () => ({ href: '' }), querySelector: () => ({ appendChild() {} }) },
    SwaggerUIBundle: start,
    SwaggerUIStandalonePreset: {},
  })
  const { url, validatorUrl } = z
    .object({ url: z.string(), validatorUrl: z.unknown() })
    .parse(config)
  return { url: new URL(url), validatorUrl }
}
