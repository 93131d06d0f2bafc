import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { caseNames, preparePython, runCases, skipReason } from './python.ts'
import { type Coffer, startCoffer } from './start-coffer.ts'

/** Two releases: the seed's own, and the newest, which tell things apart that the other does not. */
describe.skipIf(skipReason !== undefined).each([
  ['requirements.txt', ['generated_cases']],
  ['requirements-generated.txt', ['generated_cases', 'generated_bytes_cases']],
])('the generated client of %s', (requirements, modules) => {
  let coffer: Coffer
  let results: Map<string, string | null>
  beforeAll(async () => {
    const python = await preparePython(requirements)
    coffer = await startCoffer({ env: { COFFER_MAX_FILE_BYTES: `${1024 * 1024}` } })
    results = await runCases(python, modules, coffer)
  }, 300_000)
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
  })

  it.each(modules.flatMap(caseNames))('%s', (name) => {
    expect(results.get(name)).toBeNull()
  })
})

/** As strict as the models of the client: closed enums, every key there, no null where none is. */
const File = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int(),
  created_at: z.int(),
  filename: z.string(),
  purpose: z.enum(['fine-tune', 'fine-tune-results', 'assistants', 'assistants_output']),
  status: z.enum(['uploaded', 'processed', 'error']),
  status_details: z.string().nullish(),
})
const FileList = z.object({ object: z.literal('list'), data: z.array(File) })
const Deleted = z.object({ id: z.string(), object: z.literal('file'), deleted: z.boolean() })

describe("the generated client's requests", () => {
  let coffer: Coffer
  beforeAll(async () => {
    coffer = await startCoffer()
  })
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
  })

  const headers = {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'OpenAPI-Generator/1.1.1-pre.0/python',
  }

  function send(path: string, init: RequestInit = {}): Promise<Response> {
    return coffer.fetch(path, { ...init, headers: { ...headers, ...init.headers } })
  }

  /** As urllib3 writes it: the purpose without a type, then bytes under the name of the field. */
  function create(content: Uint8Array, purpose: string): Promise<Response> {
    const boundary = randomBytes(16).toString('hex')
    const head =
      `--${boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n${purpose}\r\n` +
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n` +
      'Content-Type: application/octet-stream\r\n\r\n'
    return send('/v1/files', {
      method: 'POST',
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
      body: Buffer.concat([Buffer.from(head), content, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    })
  }

  async function created(content: string | Uint8Array, purpose = 'assistants') {
    const answer = await create(Buffer.from(content), purpose)
    // Any other status is no model to the client, not even 201.
    expect(answer.status).toBe(200)
    return File.parse(await answer.json())
  }

  it.each(['assistants', 'fine-tune'])('create a file without a name for %s', async (purpose) => {
    expect(await created('{"prompt":"a","completion":"b"}\n', purpose)).toMatchObject({
      filename: 'file',
      bytes: 32,
      purpose,
      status: 'processed',
    })
  })

  it('are answered with whole numbers that look whole', async () => {
    const text = await (await create(Buffer.from('12345'), 'assistants')).text()
    expect(text).toMatch(/"bytes": ?5[,}\s]/)
    expect(text).toMatch(/"created_at": ?\d+[,}\s]/)
  })

  it('list files', async () => {
    const file = await created('listed')
    const answer = await send('/v1/files?purpose=assistants')
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    expect(FileList.parse(await answer.json()).data[0]).toEqual(file)
  })

  it('retrieve a file', async () => {
    const file = await created('retrieved')
    expect(File.parse(await (await send(`/v1/files/${file.id}`)).json())).toEqual(file)
  })

  it('download text as text, uncompressed', async () => {
    const { id } = await created('naïve 漢字\n')
    const answer = await send(`/v1/files/${id}/content`)
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(answer.headers.get('content-encoding')).toBeNull()
    expect(await answer.text()).toBe('naïve 漢字\n')
  })

  it('download bytes that are no UTF-8 in a charset with a letter for each', async () => {
    // Without a name its first bytes have to say what it is.
    const content = Buffer.from('GIF89a\x00\x80\xff', 'latin1')
    const { id } = await created(content)
    const answer = await send(`/v1/files/${id}/content`)
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=latin-1')
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(content)
  })

  it('delete a file without a body', async () => {
    const { id } = await created('deleted')
    const answer = await send(`/v1/files/${id}`, { method: 'DELETE' })
    expect(Deleted.parse(await answer.json())).toEqual({ id, object: 'file', deleted: true })
  })

  it('miss the file where an older release leaves an empty one out', async () => {
    const body =
      '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b--\r\n'
    const type = { 'content-type': 'multipart/form-data; boundary=b' }
    const answer = await send('/v1/files', { method: 'POST', headers: type, body })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: { message: "'file' is a required property" },
    })
  })
})
