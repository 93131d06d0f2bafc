import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type Coffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report, tries } from './length.ts'

const cases = tries({ short: 600, long: 5000 })

/** What the operations make that give an id. */
const makes: Readonly<Record<string, keyof Known>> = {
  createFile: 'file',
  createUpload: 'upload',
  addUploadPart: 'part',
}

const Schema = z.record(z.string(), z.unknown())
const Content = z.record(z.string(), z.object({ schema: Schema }))
const Operation = z.object({
  operationId: z.string().optional(),
  security: z.array(z.unknown()).default([]),
  parameters: z
    .array(z.object({ name: z.string(), in: z.string(), required: z.boolean(), schema: Schema }))
    .default([]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.object({ content: Content.optional() })),
})
type Operation = z.infer<typeof Operation>
const Document = z.object({ paths: z.record(z.string(), z.record(z.string(), Operation)) })

interface Route extends Operation {
  readonly method: string
  readonly path: string
}

/** Ids that the server gave, by what they are of. */
const kinds = ['file', 'upload', 'part'] as const
type Known = Record<(typeof kinds)[number], string[]>

/** Mostly ids of what a parameter's name says, as `upload_id` and `part_ids`. */
function idsFor(name: string, known: Known): fc.Arbitrary<string> {
  const kind = kinds.find((one) => name.startsWith(one)) ?? 'file'
  return fc.nat().map((at) => known[kind][at % Math.max(1, known[kind].length)] ?? `${kind}-none`)
}

/** Values of JSON that the schema allows, and now and then one that it may not. */
function jsonOf(
  schema: Record<string, unknown>,
  known: fc.Arbitrary<string>,
): fc.Arbitrary<unknown> {
  const { type, items } = schema
  if (type === 'array') return fc.array(jsonOf(Schema.parse(items), known), { maxLength: 1 })
  const object = ObjectSchema.safeParse(schema)
  if (object.success) {
    const { properties, required } = object.data
    const entries = Object.entries(properties).map(([name, one]) => [name, jsonOf(one, known)])
    const model: Record<string, fc.Arbitrary<unknown>> = Object.fromEntries(entries)
    return fc.record(model, { requiredKeys: required })
  }
  const values: fc.Arbitrary<unknown> =
    type === 'integer' ? valuesOf(schema, known).map(Number) : valuesOf(schema, known)
  return fc.oneof({ weight: 30, arbitrary: values }, { weight: 1, arbitrary: fc.jsonValue() })
}

/** Values that the schema allows, and now and then one that it may not. */
function valuesOf(schema: Record<string, unknown>, known: fc.Arbitrary<string>) {
  const anything = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.integer().map(String),
  )
  const { type, enum: choices, const: only, minimum, maximum, format } = schema
  const allowed = ((): fc.Arbitrary<string> => {
    if (Array.isArray(choices)) return fc.constantFrom(...choices.map(String))
    if (only !== undefined) return fc.constant(String(only))
    if (type === 'integer' || type === 'number') {
      const range = { min: Number(minimum ?? -10), max: Number(maximum ?? 1000) }
      return fc
        .oneof(fc.integer(range), fc.constantFrom(range.min, range.min, range.max))
        .map(String)
    }
    return format === 'binary' ? fc.string({ maxLength: 300 }) : known
  })()
  return fc.oneof({ weight: 5, arbitrary: allowed }, { weight: 1, arbitrary: anything })
}

/** Some of the named values: mostly those that are required. */
function recordOf(
  entries: readonly { name: string; required: boolean; values: fc.Arbitrary<string> }[],
) {
  const pairs = entries.map(({ name, required, values }) =>
    fc
      .option(values, { freq: required ? 20 : 1 })
      .map((value): [string, string][] => (value === null ? [] : [[name, value]])),
  )
  return fc.tuple(...pairs).map((found) => found.flat())
}

const ObjectSchema = z.object({
  properties: z.record(z.string(), Schema),
  required: z.array(z.string()).default([]),
})

/** One request to the route, made from what the document says that it takes. */
function requestsOf(route: Route, known: Known) {
  const parametersIn = (place: string) =>
    recordOf(
      route.parameters
        .filter((one) => one.in === place)
        .map(({ name, required, schema }) => ({
          name,
          required,
          values: valuesOf(schema, idsFor(name, known)),
        })),
    )
  const json = route.requestBody?.content['application/json']?.schema
  const form = ObjectSchema.safeParse(route.requestBody?.content['multipart/form-data']?.schema)
  const { properties, required } = form.data ?? { properties: {}, required: [] }
  const fields = recordOf(
    Object.entries(properties).map(([name, schema]) => ({
      name,
      required: required.includes(name),
      values: valuesOf(schema, idsFor(name, known)),
    })),
  )
  const headers = fc.record(
    {
      accept: fc.constantFrom('application/json', '*/*', 'text/html'),
      range: fc.constantFrom('bytes=0-1', 'bytes=-3', 'bytes=99999-', 'bytes=a', 'lines=1-2'),
      'if-none-match': fc.constantFrom('*', '"x"', 'W/"y", "z"'),
      'content-type': fc.constantFrom('application/json', 'text/plain'),
    },
    { requiredKeys: [] },
  )
  return fc.record({
    route: fc.constant(route),
    path: parametersIn('path'),
    query: parametersIn('query'),
    fields,
    json: json === undefined ? fc.constant(undefined) : jsonOf(json, idsFor('part_ids', known)),
    filename: fc.oneof(fc.constantFrom('a.jsonl', 'a.bin', ''), fc.string({ unit: 'grapheme' })),
    // Most requests should get past these.
    headers: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headers }),
    key: fc.oneof({ weight: 20, arbitrary: fc.constant(true) }, fc.constant(false)),
  })
}
type Request = ReturnType<typeof requestsOf> extends fc.Arbitrary<infer One> ? One : never

async function send(coffer: Coffer, request: Request): Promise<Response> {
  const { route, path, query, fields, json, filename, headers, key } = request
  const values = new Map(path)
  const target = route.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(values.get(name) ?? ''),
  )
  const all = new Headers(headers)
  if (!key) all.set('authorization', 'Bearer sk-nobody')
  if (route.requestBody === undefined) {
    const search = new URLSearchParams(query).toString()
    return coffer.fetch(`${target}?${search}`, { method: route.method, headers: all })
  }
  if (json !== undefined) {
    if (!all.has('content-type')) all.set('content-type', 'application/json')
    const body = JSON.stringify(json)
    return coffer.fetch(target, { method: route.method, headers: all, body })
  }
  const form = new FormData()
  for (const [name, value] of fields) {
    if (name === 'data') form.append(name, new Blob([value]))
    else if (name === 'file') form.append(name, new Blob([value]), filename)
    else form.append(name, value)
  }
  all.delete('content-type')
  return coffer.fetch(target, { method: route.method, headers: all, body: form })
}

describe('P56: the published document', () => {
  it('is true of whatever is asked by it', async () => {
    await using coffer = await startCoffer({
      // Room for any number of Uploads, whatever they announce.
      env: { COFFER_LOG_LEVEL: 'silent', COFFER_ORGANIZATION_QUOTA_BYTES: '1000000000000000' },
    })
    const document = Document.parse(await (await coffer.fetch('/openapi.json')).json())
    const routes: Route[] = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({
        ...operation,
        path,
        method: method.toUpperCase(),
      })),
    )
    const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true })
    const seen = new Map<string, number>()
    const known: Known = { file: [], upload: [], part: [] }
    const Id = z.object({ id: z.string() })

    async function check(request: Request): Promise<void> {
      const { route } = request
      const response = await send(coffer, request)
      const { status, headers } = response
      const name = `${route.operationId ?? route.path} ${status}`
      seen.set(name, (seen.get(name) ?? 0) + 1)
      expect(status).toBeLessThan(500)
      const described = route.responses[String(status)] ?? route.responses['default']
      expect(described, name).toBeDefined()
      const text = await response.text()
      const type = headers.get('content-type')?.split(';')[0]
      const content = described?.content ?? {}
      if (type === undefined) {
        expect({ content, text }, name).toEqual({ content: {}, text: '' })
        return
      }
      expect(Object.keys(content), name).toContain(type)
      if (type !== 'application/json') return
      const validate = ajv.compile(content[type]?.schema ?? false)
      validate(JSON.parse(text))
      expect(validate.errors, name).toBeNull()
      const made = status === 200 ? makes[route.operationId ?? ''] : undefined
      if (made === undefined) return
      known[made].push(Id.parse(JSON.parse(text)).id)
      // Most of those that are asked for should still be as they were made.
      if (known[made].length > 8) known[made].shift()
    }

    /** What chance hardly ever puts together: an Upload whose parts are as many bytes as it has. */
    async function completeOne(): Promise<void> {
      const routeOf = (operation: string) => routes.find((one) => one.operationId === operation)
      const steps = [
        ['createUpload', { bytes: 0, filename: 'a', mime_type: 'b', purpose: 'user_data' }],
        ['completeUpload', { part_ids: [] }],
      ] as const
      for (const [operation, json] of steps) {
        const route = routeOf(operation)
        if (route === undefined) throw new Error(`The document has no ${operation}.`)
        const path: [string, string][] = [['upload_id', known.upload[0] ?? '']]
        const rest = { query: [], fields: [], filename: '', headers: {}, key: true }
        await check({ route, path, json, ...rest })
      }
    }

    await completeOne()
    const requests = fc.oneof(...routes.map((route) => requestsOf(route, known)))
    const seed = Number(process.env['COFFER_TEST_SEED'] ?? Date.now() % 2 ** 31)
    // What fails is told as it is: to make it smaller would ask a server that has changed since.
    await fc.assert(fc.asyncProperty(requests, check), { numRuns: cases, seed, endOnFailure: true })
    const found = [...seen].sort().map(([name, count]) => `${count}×${name}`)
    report('P56', `${cases} requests by the document with the seed ${seed}: ${found.join(', ')}`)
    const answered = routes.filter(({ operationId = '', path }) =>
      seen.has(`${operationId || path} 200`),
    )
    expect(answered).toHaveLength(routes.length)
  })
})
