import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import OpenAI, { toFile } from 'openai'
import type { FileCreateParams, FileObject } from 'openai/resources/files'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findBlob } from './data-folder.ts'
import { type Coffer, type Folder, makeFolder, startCoffer } from './start-coffer.ts'

const KiB = 1024
const content = Buffer.alloc(300 * KiB, 'bytes of a file: é 漢 \0 ')

const batchLine =
  '{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":"gpt-4o","input":"x"}}\n'

/** Streams go in pieces, so that nothing can count on a whole body. */
async function* inPieces(bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; at += 7 * KiB) yield bytes.subarray(at, at + 7 * KiB)
}

function streamOf(pieces: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const next = await pieces.next()
      if (next.done === true) controller.close()
      else controller.enqueue(next.value)
    },
  })
}

describe('the official Node package', () => {
  let coffer: Coffer
  let client: OpenAI
  let folder: Folder
  beforeAll(async () => {
    coffer = await startCoffer()
    client = clientOf(coffer)
    folder = await makeFolder()
    await writeFile(join(folder.path, 'näme "1".bin'), content)
  })
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  async function expectStored(file: FileObject, filename: string): Promise<void> {
    expect(file).toMatchObject({ object: 'file', bytes: content.length, filename })
    const answer = await client.files.content(file.id)
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(content)
  }

  describe('files.create', () => {
    const sources: Record<string, () => Promise<[FileCreateParams['file'], string]>> = {
      'a file stream': async () => [
        createReadStream(join(folder.path, 'näme "1".bin')),
        'näme "1".bin',
      ],
      'a buffer through toFile': async () => [await toFile(content, 'b.bin'), 'b.bin'],
      'a File': async () => [new File([content], '文 書.bin'), '文 書.bin'],
      'an async iterable through toFile': async () => [
        await toFile(inPieces(content), 'i.bin'),
        'i.bin',
      ],
      'a web stream through toFile': async () => [
        await toFile(new Response(streamOf(inPieces(content))), 'w.bin'),
        'w.bin',
      ],
      'a fetched answer': async () => {
        const file = new File([content], 'to-fetch.bin')
        const { id } = await client.files.create({ file, purpose: 'user_data' })
        return [await coffer.fetch(`/v1/files/${id}/content`), 'content']
      },
    }

    it.each(Object.keys(sources))('stores %s', async (name) => {
      const [file, filename] = (await sources[name]?.()) ?? expect.fail()
      await expectStored(await client.files.create({ file, purpose: 'user_data' }), filename)
    })

    it('takes a stream before the purpose and after it', async () => {
      const path = join(folder.path, 'näme "1".txt')
      await writeFile(path, content)
      const first = await client.files.create({
        file: createReadStream(path),
        purpose: 'user_data',
      })
      const last = await client.files.create({
        purpose: 'assistants',
        file: createReadStream(path),
      })
      expect([first.purpose, last.purpose]).toEqual(['user_data', 'assistants'])
      await expectStored(first, 'näme "1".txt')
      await expectStored(last, 'näme "1".txt')
    })

    it('stores an empty file', async () => {
      const file = await client.files.create({ file: new File([], 'e.txt'), purpose: 'user_data' })
      expect(file.bytes).toBe(0)
      expect(await (await client.files.content(file.id)).text()).toBe('')
    })

    it('sets when a file expires, counted from its creation', async () => {
      const { created_at, expires_at } = await client.files.create({
        file: createReadStream(join(folder.path, 'näme "1".bin')),
        expires_after: { anchor: 'created_at', seconds: 3600 },
        purpose: 'user_data',
      })
      expect(expires_at).toBe(created_at + 3600)
    })

    it('keeps a batch thirty days and anything else for ever', async () => {
      const file = new File([batchLine], 'b.jsonl')
      const batch = await client.files.create({ file, purpose: 'batch' })
      expect(batch.expires_at).toBe(batch.created_at + 2_592_000)
      expect(await client.files.create({ file, purpose: 'user_data' })).toMatchObject({
        expires_at: null,
      })
    })
  })

  it('retrieves what it created, with a request id', async () => {
    const created = await client.files.create({ file: await aFile(), purpose: 'assistants' })
    expect(created._request_id).toMatch(/^req_/)
    const retrieved = await client.files.retrieve(created.id)
    expect(retrieved).toEqual(created)
    expect(retrieved).toEqual({
      object: 'file',
      id: expect.stringMatching(/^file-\w{22}$/),
      purpose: 'assistants',
      filename: 'a.txt',
      bytes: 5,
      created_at: expect.any(Number),
      expires_at: null,
      status: 'processed',
      status_details: null,
      // Beside what the package knows.
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      mime_type: 'text/plain',
    })
  })

  it('reads content as text and as a stream', async () => {
    const text = 'Zeile 1\nZeile 2: naïve 漢字\n'
    const { id } = await client.files.create({
      file: new File([text], 't.txt'),
      purpose: 'user_data',
    })
    expect(await (await client.files.content(id)).text()).toBe(text)
    const pieces = await Array.fromAsync((await client.files.content(id)).body ?? [])
    expect(Buffer.concat(pieces).toString()).toBe(text)
  })

  it('deletes, and finds the file no more', async () => {
    const { id } = await client.files.create({ file: await aFile(), purpose: 'user_data' })
    expect(await client.files.delete(id)).toMatchObject({ id, object: 'file', deleted: true })
    await expect(client.files.retrieve(id)).rejects.toThrow(OpenAI.NotFoundError)
    await expect(client.files.content(id)).rejects.toThrow(OpenAI.NotFoundError)
    await expect(client.files.delete(id)).rejects.toThrow(OpenAI.NotFoundError)
  })

  it('needs not wait for processing', async () => {
    const { id } = await client.files.create({ file: await aFile(), purpose: 'user_data' })
    const file = await client.files.waitForProcessing(id, { pollInterval: 60_000 })
    expect(file).toMatchObject({ id, status: 'processed' })
  })
})

describe("the official Node package's list", () => {
  let coffer: Coffer
  let client: OpenAI
  /** In the order of creation; every third is for assistants. */
  const created: FileObject[] = []
  beforeAll(async () => {
    coffer = await startCoffer()
    client = clientOf(coffer)
    for (let number = 0; number < 25; number += 1) {
      const file = new File([`${number}`], `${number}.txt`)
      const purpose = number % 3 === 0 ? 'assistants' : 'user_data'
      created.push(await client.files.create({ file, purpose }))
    }
  })
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
  })
  const idsOf = (files: readonly { id: string }[]) => files.map(({ id }) => id)

  it('comes newest first unless told otherwise', async () => {
    const files = await Array.fromAsync(client.files.list())
    expect(idsOf(files)).toEqual(idsOf(created).reverse())
  })

  it.each(['asc', 'desc'] as const)('goes through all pages: %s', async (order) => {
    const pages = await Array.fromAsync(
      (await client.files.list({ limit: 7, order })).iterPages(),
      ({ data }) => data,
    )
    expect(pages.map((page) => page.length)).toEqual([7, 7, 7, 4])
    const ids = idsOf(created)
    expect(idsOf(pages.flat())).toEqual(order === 'asc' ? ids : ids.reverse())
  })

  it('goes through all pages of one purpose', async () => {
    const files = await Array.fromAsync(
      client.files.list({ limit: 4, order: 'asc', purpose: 'assistants' }),
    )
    expect(files).toHaveLength(9)
    expect(idsOf(files)).toEqual(idsOf(created.filter(({ purpose }) => purpose === 'assistants')))
  })

  it('ends with a page that is just full', async () => {
    expect(await client.files.list({ limit: 25 })).toMatchObject({ has_more: false })
    expect(await client.files.list({ limit: 24 })).toMatchObject({ has_more: true })
  })

  it('begins after a file', async () => {
    const { data } = await client.files.list({ after: created[19]?.id ?? '', order: 'asc' })
    expect(idsOf(data)).toEqual(idsOf(created.slice(20)))
  })

  it('gives every file once to who deletes them on the way', async () => {
    const deleted: string[] = []
    for await (const { id } of client.files.list({ limit: 7 })) {
      await client.files.delete(id)
      deleted.push(id)
    }
    expect(deleted).toEqual(idsOf(created).reverse())
    expect(await client.files.list()).toMatchObject({ data: [], has_more: false })
  })
})

describe("the official Node package's uploads", () => {
  let coffer: Coffer
  let client: OpenAI
  beforeAll(async () => {
    coffer = await startCoffer({ env: { COFFER_MAX_PART_BYTES: `${64 * KiB}` } })
    client = clientOf(coffer)
  })
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
  })

  const begin = (bytes: number) =>
    client.uploads.create({
      bytes,
      filename: '文 書.bin',
      mime_type: 'application/octet-stream',
      purpose: 'user_data',
    })

  async function send(id: string, part: Uint8Array<ArrayBuffer>): Promise<string> {
    const data = await toFile(part, 'part')
    const sent = await client.uploads.parts.create(id, { data })
    expect(sent).toMatchObject({ object: 'upload.part', upload_id: id })
    return sent.id
  }

  const md5Of = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')

  async function expectContent(file: FileObject | null | undefined, expected: Buffer) {
    const answer = await client.files.content(file?.id ?? '')
    expect(Buffer.from(await answer.arrayBuffer()).equals(expected)).toBe(true)
  }

  /** What an operation throws, which must be a refusal. */
  async function refusalOf(operation: () => Promise<unknown>): Promise<unknown> {
    const error: unknown = await operation().then(
      () => expect.fail('it succeeds'),
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    return error
  }

  it('become a file of parts that came side by side and in any order', async () => {
    const contents = [64 * KiB, 1, 40 * KiB, 16 * KiB, 64 * KiB, 7].map((size) => randomBytes(size))
    const whole = Buffer.concat(contents)
    const upload = await begin(whole.length)
    expect(upload).toMatchObject({ object: 'upload', status: 'pending', bytes: whole.length })
    const last = await send(upload.id, contents.at(-1) ?? Buffer.alloc(0))
    const others = await Promise.all(
      contents
        .slice(0, -1)
        .reverse()
        .map((part) => send(upload.id, part)),
    )
    const part_ids = [...others.reverse(), last]

    const md5 = md5Of(whole)
    const completed = await client.uploads.complete(upload.id, { part_ids, md5 })
    const file = { object: 'file', filename: '文 書.bin', bytes: whole.length }
    expect(completed).toMatchObject({ id: upload.id, status: 'completed', file })
    await expectContent(completed.file, whole)
    expect(await client.files.retrieve(completed.file?.id ?? '')).toEqual(completed.file)
  })

  it('take a part from a stream whose size nobody told', async () => {
    const part = randomBytes(60 * KiB)
    const { id } = await begin(part.length)
    const data = await toFile(new Response(streamOf(inPieces(part))), 'part')
    const sent = await client.uploads.parts.create(id, { data })
    const { file } = await client.uploads.complete(id, { part_ids: [sent.id] })
    await expectContent(file, part)
  })

  it('are cancelled, and take nothing more', async () => {
    const { id } = await begin(3)
    const part = await send(id, Buffer.from('abc'))
    expect(await client.uploads.cancel(id)).toMatchObject({ id, status: 'cancelled', file: null })
    for (const operation of [
      () => send(id, Buffer.from('abc')),
      () => client.uploads.complete(id, { part_ids: [part] }),
      () => client.uploads.cancel(id),
    ]) {
      expect(await refusalOf(operation)).toMatchObject({
        message: `400 Upload ${id} is cancelled.`,
        param: 'upload_id',
      })
    }
  })

  it('are not completed of other bytes than were meant, and can be tried again', async () => {
    const { id } = await begin(6)
    const [first, second] = [await send(id, Buffer.from('abc')), await send(id, Buffer.from('def'))]
    const complete = (part_ids: string[], md5?: string) =>
      client.uploads.complete(id, { part_ids, ...(md5 !== undefined && { md5 }) })
    const md5 = md5Of(Buffer.from('abcdef'))
    expect(await refusalOf(() => complete([second, first], md5))).toMatchObject({
      message: expect.stringContaining(`not ${md5}.`),
      param: 'md5',
    })
    expect(await refusalOf(() => complete([first]))).toMatchObject({
      message: '400 The parts have 3 bytes together, and 6 were declared for the Upload.',
      param: 'part_ids',
    })
    expect(await refusalOf(() => complete([first, 'part_none']))).toMatchObject({
      message: "400 No such Part of this Upload: 'part_none'.",
      param: 'part_ids',
    })
    await expectContent((await complete([first, second], md5)).file, Buffer.from('abcdef'))
  })

  it('refuse a part that is too large, or too large for them', async () => {
    const { id } = await begin(64 * KiB + 2)
    const error = send(id, Buffer.alloc(64 * KiB + 1))
    await expect(error).rejects.toMatchObject({
      status: 413,
      message: expect.stringContaining('at most 65536 bytes'),
      param: 'data',
    })
    await send(id, randomBytes(64 * KiB))
    expect(await refusalOf(() => send(id, Buffer.from('abc')))).toMatchObject({
      message: expect.stringContaining('more bytes than the 65538 that were declared'),
      param: 'data',
    })
  })

  it('are not found if they never were', async () => {
    const data = await aFile()
    for (const operation of [
      () => client.uploads.parts.create('upload_none', { data }),
      () => client.uploads.complete('upload_none', { part_ids: [] }),
      () => client.uploads.cancel('upload_none'),
    ]) {
      await expect(operation()).rejects.toMatchObject({
        status: 404,
        message: '404 No such Upload object: upload_none',
        param: 'upload_id',
      })
    }
  })
})

describe("the official Node package's errors", () => {
  let coffer: Coffer
  /** The requests of the client under test, retries included. */
  let requests: number
  beforeAll(async () => {
    coffer = await startCoffer({
      env: { COFFER_MAX_FILE_BYTES: '20000', COFFER_ORGANIZATION_QUOTA_BYTES: '40000' },
    })
    // As much room is left as a file may have.
    for (const bytes of [19_100, 900]) {
      const held = new File([Buffer.alloc(bytes)], 'held.bin')
      await clientOf(coffer).files.create({ file: held, purpose: 'user_data' })
    }
  })
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
  })

  /** What an operation throws; its requests are counted, with the retries of the SDK as they are. */
  async function errorOf(
    operation: (client: OpenAI) => Promise<unknown>,
    options: { apiKey?: string } = {},
  ): Promise<unknown> {
    requests = 0
    const client = new OpenAI({
      baseURL: `${coffer.url}/v1`,
      apiKey: options.apiKey ?? coffer.key,
      fetch(url, init) {
        // Before its first form the SDK tries what `fetch` can do, with an address of no server.
        if (!`${url}`.startsWith('data:')) requests += 1
        return fetch(url, init)
      },
    })
    return operation(client).then(
      () => expect.fail('it succeeds'),
      (error: unknown) => error,
    )
  }

  const requestID = expect.stringMatching(/^req_/)

  it('AuthenticationError: a wrong key', async () => {
    const error = await errorOf((client) => client.files.list(), { apiKey: 'sk-wrong' })
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError)
    expect(error).toMatchObject({ status: 401, code: 'invalid_api_key', param: null, requestID })
    expect(requests).toBe(1)
  })

  it('AuthenticationError: a wrong key with a body that is still being sent', async () => {
    const file = new Response(streamOf(inPieces(Buffer.alloc(8 * KiB * KiB))))
    const upload = await toFile(file, 'large.bin')
    const error = await errorOf(
      (client) => client.files.create({ file: upload, purpose: 'user_data' }),
      {
        apiKey: 'sk-wrong',
      },
    )
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError)
    expect(error).toMatchObject({ code: 'invalid_api_key', requestID })
    expect(requests).toBe(1)
  })

  it('BadRequestError: an unknown purpose', async () => {
    const file = await aFile()
    const error = await errorOf((client) => {
      return client.files.create({ file, purpose: 'fun' as 'user_data' })
    })
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      param: 'purpose',
      code: null,
      message: expect.stringContaining("'fun' is not one of ['fine-tune', "),
      requestID,
    })
    expect(requests).toBe(1)
  })

  it('BadRequestError: no purpose', async () => {
    const file = await aFile()
    const error = await errorOf((client) => client.files.create({ file } as FileCreateParams))
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({ message: "400 'purpose' is a required property", requestID })
    expect(requests).toBe(1)
  })

  it('BadRequestError: no file', async () => {
    const body = new FormData()
    body.append('purpose', 'user_data')
    const error = await errorOf((client) => client.post('/files', { body }))
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({ message: "400 'file' is a required property", requestID })
    expect(requests).toBe(1)
  })

  it('BadRequestError: an expiry out of bounds', async () => {
    const file = await aFile()
    const error = await errorOf((client) => {
      const expires_after = { anchor: 'created_at' as const, seconds: 3599 }
      return client.files.create({ file, purpose: 'user_data', expires_after })
    })
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({
      code: 'integer_below_min_value',
      param: 'expires_after.seconds',
      requestID,
    })
    expect(requests).toBe(1)
  })

  it('BadRequestError: content that its purpose refuses, with all that is wrong with it', async () => {
    const file = new File(['{"item": {}}\n{"item": 1}\n{}\n'], 'lines.jsonl')
    // Its errors have what the answer says under `error`; the faults stand beside that.
    const answers: Response[] = []
    const error = await errorOf((client) => {
      const keeping = client.withOptions({
        async fetch(url, init) {
          const answer = await fetch(url, init)
          answers.push(answer.clone())
          return answer
        },
      })
      return keeping.files.create({ file, purpose: 'evals' })
    })
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      param: 'item',
      code: null,
      message: "400 Line 2: 'item' must be an object. (The first of 2 faults.)",
      requestID,
    })
    expect(await answers.at(-1)?.json()).toMatchObject({
      details: [
        { line: 2, offset: 13, code: 'invalid_type', param: 'item', expected: 'an object' },
        { line: 3, offset: 25, code: 'missing_required_parameter', param: 'item' },
      ],
      details_total: 2,
    })
  })

  it('BadRequestError: a limit of nothing', async () => {
    const error = await errorOf((client) => client.files.list({ limit: 0 }))
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(requests).toBe(1)
  })

  it('BadRequestError: a full quota, which is not tried again', async () => {
    const other = new File([Buffer.alloc(9_000)], 'other.bin')
    const { id } = await clientOf(coffer).files.create({ file: other, purpose: 'user_data' })
    const file = new File([Buffer.alloc(11_001)], 'f.bin')
    const error = await errorOf((client) => client.files.create({ file, purpose: 'user_data' }))
    await clientOf(coffer).files.delete(id)
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error).toMatchObject({ message: expect.stringContaining('quota'), requestID })
    expect(requests).toBe(1)
  })

  it('NotFoundError: no such file', async () => {
    const error = await errorOf((client) => client.files.retrieve('file-none'))
    expect(error).toBeInstanceOf(OpenAI.NotFoundError)
    expect(error).toMatchObject({
      status: 404,
      message: '404 No such File object: file-none',
      param: 'id',
      code: null,
      requestID,
    })
    expect(requests).toBe(1)
  })

  it('NotFoundError: a list after no such file', async () => {
    const error = await errorOf((client) => client.files.list({ after: 'file-none' }))
    expect(error).toBeInstanceOf(OpenAI.NotFoundError)
    expect(error).toMatchObject({ param: 'after', requestID })
  })

  it('NotFoundError: no such route', async () => {
    const error = await errorOf((client) => client.models.list())
    expect(error).toBeInstanceOf(OpenAI.NotFoundError)
    expect(error).toMatchObject({ message: '404 Invalid URL (GET /v1/models)', requestID })
    expect(requests).toBe(1)
  })

  it('APIError 405: a method that the route does not have', async () => {
    const error = await errorOf((client) => client.put('/files'))
    expect(error).toBeInstanceOf(OpenAI.APIError)
    expect(error).toMatchObject({
      status: 405,
      message: expect.stringContaining('Not allowed to PUT on /v1/files.'),
      requestID,
    })
    expect(requests).toBe(1)
  })

  it('APIError 413: a file too large whose size is known', async () => {
    const file = new File([Buffer.alloc(100 * KiB)], 'f.bin')
    const error = await errorOf((client) => client.files.create({ file, purpose: 'user_data' }))
    expect(error).toBeInstanceOf(OpenAI.APIError)
    expect(error).toMatchObject({
      status: 413,
      type: 'invalid_request_error',
      message: expect.stringContaining('20000 bytes'),
      requestID,
    })
    expect(requests).toBe(1)
  })

  it('APIError 413: a stream that turns out too large', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'large.bin')
    await writeFile(path, Buffer.alloc(4 * KiB * KiB))
    const file = createReadStream(path)
    const error = await errorOf((client) => client.files.create({ file, purpose: 'user_data' }))
    expect(error).toMatchObject({ status: 413, requestID })
    expect(requests).toBe(1)
  })

  it('APIError 415: a body that is no form', async () => {
    const error = await errorOf((client) =>
      client.post('/files', { body: { purpose: 'user_data' } }),
    )
    expect(error).toMatchObject({ status: 415, code: 'unsupported_content_type', requestID })
    expect(requests).toBe(1)
  })

  it('APIError 416: a range that lies outside', async () => {
    const error = await errorOf(async (client) => {
      const [held] = (await client.files.list()).data
      return client.files.content(held?.id ?? '', { headers: { range: 'bytes=900-' } })
    })
    expect(error).toMatchObject({ status: 416, code: 'range_not_satisfiable', requestID })
    expect(requests).toBe(2)
  })

  it('InternalServerError: bytes that are gone, and not tried for again', async () => {
    const content = await toFile(Buffer.alloc(17_000), 'content.jsonl')
    const file = await clientOf(coffer).files.create({ file: content, purpose: 'user_data' })
    await unlink(findBlob(coffer.folder, file.id))
    const error = await errorOf((client) => client.files.content(file.id, { maxRetries: 1 }))
    expect(error).toBeInstanceOf(OpenAI.InternalServerError)
    const code = 'file_content_unavailable'
    expect(error).toMatchObject({ status: 500, type: 'server_error', code, requestID })
    expect(requests).toBe(1)
  })

  it('APIConnectionError: a server that has stopped', async () => {
    await coffer.stop()
    const error = await errorOf((client) => client.files.list({}, { maxRetries: 0 }))
    expect(error).toBeInstanceOf(OpenAI.APIConnectionError)
  })
})

function clientOf({ url, key }: Coffer): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 })
}

function aFile(): Promise<File> {
  return toFile(Buffer.from('hello'), 'a.txt')
}
