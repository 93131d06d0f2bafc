import { createHash } from 'node:crypto'
import { File, type FileCheck } from '@coffer/contract'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { createHead, type FormPart, fieldPart, filePart, formBody } from './form-body.ts'
import { checkOf, readRefused, type SentFile, send, ways } from './rules.ts'
import { type Client, startServer } from './start-server.ts'
import { begunBytes } from './test-stores.ts'
import { until } from './until.ts'
import { batchLine, evalLine, png, trainingLine, validFiles } from './valid-content.ts'

const KiB = 1024
const MiB = 1024 * KiB
const server = await startServer({
  settings: {
    ...{ COFFER_MAX_FILE_TOKENS: '30', COFFER_MAX_FILE_BYTES: String(4 * MiB) },
    ...{ COFFER_MAX_BATCH_BYTES: String(MiB), COFFER_ORGANIZATION_QUOTA_BYTES: String(6 * MiB) },
  },
})
afterAll(() => server[Symbol.asyncDispose]())

const sha256Of = (content: string | Uint8Array) =>
  createHash('sha256').update(content).digest('hex')

const request = (id: string, model: string, input: string) => batchLine(id, { model, input })

describe('the check of a file that is right', () => {
  const nothing = { num_lines: null, tokens: null, models: null }
  const cases: readonly { file: SentFile; found: object }[] = [
    {
      file: {
        ...{ purpose: 'batch', filename: 'a.jsonl' },
        content: `${request('a', 'gpt-4o', 'some words')}\n${request('b', 'gpt-4o', 'more')}\n`,
      },
      found: {
        ...{
          num_lines: 2,
          tokens: countTokens('some words') + countTokens('more'),
          models: { 'gpt-4o': 2 },
        },
        mime_type: 'application/jsonl',
      },
    },
    {
      file: { purpose: 'fine-tune', filename: 'a.jsonl', content: `${trainingLine}\n` },
      found: {
        ...{ num_lines: 1, tokens: countTokens('a') + countTokens('b'), models: null },
        mime_type: 'application/jsonl',
      },
    },
    {
      file: { purpose: 'evals', filename: 'a.jsonl', content: `${evalLine}\n`.repeat(3) },
      found: { num_lines: 3, tokens: 0, models: null, mime_type: 'application/jsonl' },
    },
    {
      file: { purpose: 'assistants', filename: 'a.txt', content: 'a few words' },
      found: { ...nothing, tokens: countTokens('a few words'), mime_type: 'text/plain' },
    },
    {
      file: { purpose: 'assistants', filename: 'a.png', content: png },
      found: { ...nothing, mime_type: 'image/png' },
    },
    {
      file: { purpose: 'vision', filename: 'a', content: png },
      found: { ...nothing, mime_type: 'image/png' },
    },
    {
      file: { purpose: 'user_data', filename: 'a.xyz', content: 'text' },
      found: { ...nothing, mime_type: expect.any(String) },
    },
  ]

  it.each(cases)('tells what it is: $file.purpose $file.filename', async ({ file, found }) => {
    const client = await server.addTenant()
    const { purpose, filename, content } = file
    for (const way of ways) {
      expect(await checkOf(server, client, file, way)).toEqual({
        ...{ object: 'file.check', valid: true, purpose, filename },
        ...{ bytes: Buffer.byteLength(content), sha256: sha256Of(content) },
        ...{ details: [], details_total: 0 },
        ...found,
      })
    }
  })
})

describe('the check of a file that is wrong', () => {
  const cases: readonly SentFile[] = [
    { purpose: 'batch', filename: 'a.jsonl', content: `{}\n[]\n${batchLine()}\n` },
    { purpose: 'batch', filename: 'a.jsonl', content: '[]\n'.repeat(50_000) },
    { purpose: 'batch', filename: 'a.jsonl', content: `${batchLine()}${' '.repeat(MiB)}\n` },
    { purpose: 'fine-tune', filename: 'a.jsonl', content: '{"messages":[]}\n' },
    { purpose: 'evals', filename: 'a.jsonl', content: '' },
    { purpose: 'assistants', filename: 'a.exe', content: 'text' },
    { purpose: 'assistants', filename: 'a.txt', content: 'word '.repeat(200) },
    { purpose: 'assistants', filename: 'a.pdf', content: 'no PDF' },
    { purpose: 'vision', filename: 'a.png', content: 'no image' },
  ]

  it.each(cases)('has the faults of its upload: $purpose $filename', async (file) => {
    const client = await server.addTenant()
    const refused = await readRefused(await send(client, file))
    for (const way of ways) {
      const check = await checkOf(server, client, file, way)
      expect(check).toMatchObject({ valid: false, bytes: Buffer.byteLength(file.content) })
      const { details, details_total } = check
      expect({ details, details_total }).toEqual({
        details: refused.details,
        details_total: refused.details_total,
      })
    }
  })

  it('has none of its lines where its name is wrong', async () => {
    const file = { purpose: 'batch', filename: 'a.txt', content: `${batchLine()}\n[]\n` }
    for (const way of ways) {
      const check = await checkOf(server, await server.addTenant(), file, way)
      expect(check.details.map(({ code, line }) => [code, line])).toEqual([
        ['invalid_extension', null],
      ])
      expect(check).toMatchObject({ num_lines: null, models: null, details_total: 1 })
    }
  })

  it('counts the requests of each model', async () => {
    const content = ['a', 'b', 'a', '__proto__', 'toString']
      .map((model, index) => `${request(`${index}`, model, 'x')}\n`)
      .join('')
    const file = { purpose: 'batch', filename: 'a.jsonl', content }
    const response = await send(await server.addTenant(), file, ways[0], '/v1/files/check')
    const { models, details } = JSON.parse(await response.text())
    expect(Object.entries(models).sort()).toEqual(
      [
        ['__proto__', 1],
        ['a', 2],
        ['b', 1],
        ['toString', 1],
      ].sort(),
    )
    expect(details.map(({ line }: { line: number }) => line)).toEqual([2, 4, 5])
  })
})

describe('a check', () => {
  it('takes nothing of the quota, however often it is asked for', async () => {
    const client = await server.addTenant()
    const half = { purpose: 'user_data', filename: 'a.bin', content: Buffer.alloc(4 * MiB) }
    for (let round = 0; round < 3; round += 1) {
      expect(await checkOf(server, client, half)).toMatchObject({ valid: true, bytes: 4 * MiB })
    }
    expect(await client.usedBytes()).toBe(0)
  })

  it('is nothing that other tenants or its own see', async () => {
    const [client, other] = [await server.addTenant(), await server.addTenant()]
    const file = { purpose: 'evals', filename: 'a.jsonl', content: `${evalLine}\n` }
    const { id } = await other.createFor('evals')
    await checkOf(server, client, file)
    expect((await other.list()).data.map((one) => one.id)).toEqual([id])
    expect((await client.list()).data).toEqual([])
    expect(await client.usedBytes()).toBe(0)
  })

  it('is held against the full rules where there are none for uploads', async () => {
    await using off = await startServer({ settings: { COFFER_CONTENT_RULES: 'off' } })
    const lines = { purpose: 'batch', filename: 'a.jsonl', content: '{}\n' }
    for (const way of ways) {
      const { details, details_total } = await checkOf(off, off, lines, way)
      expect(details.map(({ code }) => code)).toEqual(
        Array.from({ length: 4 }, () => 'missing_required_parameter'),
      )
      expect(details_total).toBe(4)
      const misnamed = { ...lines, filename: 'a.txt' }
      expect(await checkOf(off, off, misnamed, way)).toMatchObject({ valid: false })
      const image = { purpose: 'vision', filename: 'a.png', content: 'x' }
      expect(await checkOf(off, off, image, way)).toMatchObject({ valid: false })
    }
    expect((await send(off, lines)).status).toBe(200)
  })

  it('is held against the rules that uploads are held against', async () => {
    await using vendor = await startServer({ settings: { COFFER_CONTENT_RULES: 'openai' } })
    const lines = { purpose: 'batch', filename: 'a.jsonl', content: '{}\nnonsense\n' }
    expect(await checkOf(vendor, vendor, lines)).toMatchObject({ valid: true })
    const marked = { purpose: 'fine-tune', filename: 'a.jsonl', content: `\ufeff${trainingLine}\n` }
    expect(await checkOf(vendor, vendor, marked)).toMatchObject({ valid: false })
  })

  const purpose = fieldPart('purpose', 'user_data')
  const wrong: readonly (readonly [string, readonly FormPart[], string])[] = [
    ['without a file', [purpose], "'file' is a required property"],
    ['without a purpose', [filePart()], "'purpose' is a required property"],
    ['with two files', [filePart(), purpose, filePart()], "'file' may be given only once"],
    [
      'with an unknown field',
      [purpose, filePart(), fieldPart('model', 'x')],
      "Additional properties are not allowed ('model' was unexpected)",
    ],
    [
      'with a purpose that is none',
      [fieldPart('purpose', 'x'), filePart()],
      "'x' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - 'purpose'",
    ],
  ]

  it.each(wrong)('of a form %s is refused as its upload is', async (_, parts, message) => {
    const client = await server.addTenant()
    const before = await server.stored()
    for (const path of ['/v1/files', '/v1/files/check']) {
      const response = await client.fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'multipart/form-data; boundary=cut-here' },
        body: formBody('cut-here', parts),
      })
      expect(await readRefusal(response)).toMatchObject({ status: 400, message })
    }
    expect(await server.stored()).toEqual(before)
  })

  it('of too large a file is refused as its upload is, known or not', async () => {
    const content = Buffer.alloc(4 * MiB + 1)
    const file = { purpose: 'user_data', filename: 'a.bin', content }
    for (const way of ways) {
      const response = await send(await server.addTenant(), file, way, '/v1/files/check')
      expect(await readRefusal(response)).toEqual(
        refusal(413, 'File is too large. A file may have at most 4194304 bytes (4 MiB).'),
      )
    }
  })

  it('needs a key and a form', async () => {
    const init = { method: 'POST', body: 'x' }
    expect((await server.fetch('/v1/files/check', init)).status).toBe(415)
    const headers = { authorization: 'Bearer sk-nobody' }
    expect((await server.fetch('/v1/files/check', { ...init, headers })).status).toBe(401)
  })

  it('is left by its client without a trace', async () => {
    await using large = await startServer()
    const before = await large.stored()
    const connection = await large.connect()
    const line = `${request('a', 'gpt-4o', 'x'.repeat(KiB))}\n`
    const body = formBody('cut-here', [
      fieldPart('purpose', 'batch'),
      filePart(line.repeat((2 * begunBytes) / KiB), '; filename="a.jsonl"'),
    ])
    const head = createHead(
      large.apiKey,
      'Content-Type: multipart/form-data; boundary=cut-here',
      `Content-Length: ${body.length}`,
    ).replace('/v1/files', '/v1/files/check')
    const left = large.logged('the client left before its request was whole')
    connection.write(head, body.subarray(0, begunBytes + MiB))
    // Its first bytes are written.
    await until(async () => (await large.stored()).blobs.length > before.blobs.length)
    connection.socket.destroy()
    await left
    expect(await large.stored()).toEqual(before)
  })
})

describe('what stands beside the check', () => {
  it.each([
    ['GET', '/v1/files/check', 404, 'No such File object: check'],
    ['DELETE', '/v1/files/check', 404, 'No such File object: check'],
    ['GET', '/v1/files/check/content', 404, 'No such File object: check'],
    ['PUT', '/v1/files/check', 405, 'Not allowed to PUT on /v1/files/check.'],
    ['POST', '/v1/files/check/x', 404, 'Invalid URL (POST /v1/files/check/x)'],
    ['POST', '/v1/files/checks', 405, 'Not allowed to POST on /v1/files/checks.'],
  ])('is as it was: %s %s', async (method, path, status, message) => {
    const refused = await readRefusal(await server.fetch(path, { method }))
    expect(refused).toMatchObject({ status, message: expect.stringContaining(message) })
  })

  it('is told with all its methods', async () => {
    const response = await server.fetch('/v1/files/check', { method: 'PUT' })
    expect(response.headers.get('allow')).toBe('GET, HEAD, POST, DELETE')
  })
})

describe('the facts of a file', () => {
  async function all(client: Client, file: SentFile): Promise<File> {
    const created = File.parse(await (await send(client, file)).json())
    expect(await (await client.fetch(`/v1/files/${created.id}`)).json()).toEqual(created)
    expect((await client.list()).data[0]).toEqual(created)
    return created
  }

  it('are the same when it is created, retrieved and listed', async () => {
    const client = await server.addTenant()
    for (const [purpose, { filename, content }] of Object.entries(validFiles)) {
      const { sha256, bytes } = await all(client, { purpose, filename, content })
      expect([sha256, bytes]).toEqual([sha256Of(content), content.length])
    }
    const text = 'internationalization '.repeat(8)
    expect(await all(client, { purpose: 'assistants', filename: 'a.md', content: text })).toEqual(
      expect.objectContaining({ tokens: countTokens(text), mime_type: 'text/markdown' }),
    )
  })

  it('stand behind those of the vendor', async () => {
    const { filename, content } = validFiles.batch
    const response = await send(await server.addTenant(), { purpose: 'batch', filename, content })
    expect(Object.keys(JSON.parse(await response.text()))).toEqual([
      ...['object', 'id', 'purpose', 'filename', 'bytes', 'created_at', 'expires_at', 'status'],
      ...['status_details', 'sha256', 'mime_type', 'num_lines'],
    ])
  })

  it('are those that the check tells', async () => {
    const client = await server.addTenant()
    const content = `${evalLine}\n`.repeat(7)
    const file = { purpose: 'evals', filename: 'a.jsonl', content }
    const { sha256, mime_type, num_lines } = await all(client, file)
    const check: FileCheck = await checkOf(server, client, file)
    expect(check).toMatchObject({ sha256, mime_type, num_lines })
  })
})
