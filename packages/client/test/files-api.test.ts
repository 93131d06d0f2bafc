import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type TestServer } from '../../server/test/start-server.ts'
import { until } from '../../server/test/until.ts'
import {
  ApiException,
  BadRequestException,
  ConnectionException,
  ContentTooLargeException,
  type FileContent,
  type FilesApi,
  NotFoundException,
  type OpenAIFile,
  UnauthorizedException,
  type Uploadable,
} from '../src/index.ts'
import { fileFromPath } from '../src/node.ts'
import { apiOf } from './api-of.ts'
import { startNode } from './run-node.ts'
import { beSilent, someFile, startScript } from './scripted-server.ts'

const KiB = 1024
const MiB = 1024 * KiB
const content = randomBytes(300 * KiB)
const reason = new Error('Enough.')

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < content.length; start += 100_000) {
    yield content.subarray(start, start + 100_000)
  }
}

async function contentOf(api: FilesApi, id: string): Promise<Buffer> {
  return Buffer.from(await (await api.openFile(id)).arrayBuffer())
}

/** A folder with a file in it. */
async function makeFile(name: string) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-client-'))
  const path = join(folder.path, name)
  await writeFile(path, content)
  return { folder: folder.path, path, [Symbol.asyncDispose]: () => folder.remove() }
}

let shared: TestServer
beforeAll(async () => {
  shared = await startServer()
})
afterAll(() => shared[Symbol.asyncDispose]())

/** An organization of its own for a test, on the server that all share. */
async function makeTenant() {
  return { ...(await shared.addTenant()), url: shared.url }
}

describe.concurrent('createFile', () => {
  const whole = new Uint8Array(content)
  const padded = new Uint8Array([1, ...whole, 2]).subarray(1, -1)

  it.for<[string, () => Uploadable, number | undefined]>([
    ['a Blob', () => new Blob([content]), content.length],
    ['a File', () => new File([content], 'file'), content.length],
    ['bytes', () => whole, content.length],
    ['bytes within a larger buffer', () => padded, content.length],
    ['a Buffer', () => content, content.length],
    ['an ArrayBuffer', () => whole.buffer, content.length],
    ['a ReadableStream', () => new Blob([content]).stream(), undefined],
    ['an async iterable', pieces, undefined],
  ])('uploads %s, and tells how far it is', async ([, make, known]) => {
    const server = await makeTenant()
    const api = apiOf(server)
    const told: [number, number | undefined][] = []
    const file = await api.createFile(make(), 'user_data', {
      onProgress: (...progress) => told.push(progress),
    })
    expect(file).toMatchObject({ bytes: content.length, filename: 'file', purpose: 'user_data' })
    expect(await contentOf(api, file.id)).toEqual(content)
    expect(told.at(-1)).toEqual([content.length, known])
    expect(told.map(([sent]) => sent)).toEqual(told.map(([sent]) => sent).sort((a, b) => a - b))
    expect(told.length).toBeGreaterThan(1)
  })

  it('uploads a path, by its name', async () => {
    const server = await makeTenant()
    await using made = await makeFile('über "uns".txt')
    const api = apiOf(server)
    const told: unknown[] = []
    const file = await api.createFile(await fileFromPath(made.path), 'user_data', {
      onProgress: (...progress) => told.push(progress),
    })
    expect(file).toMatchObject({ bytes: content.length, filename: 'über "uns".txt' })
    expect(await contentOf(api, file.id)).toEqual(content)
    expect(told.at(-1)).toEqual([content.length, content.length])
  })

  it('uploads a stream of Node', async () => {
    const server = await makeTenant()
    await using made = await makeFile('stream.bin')
    const file = await apiOf(server).createFile(createReadStream(made.path), 'user_data')
    expect(file.bytes).toBe(content.length)
  })

  it.for<[string, () => Uploadable]>([
    ['an empty Blob', () => new Blob([])],
    ['no bytes', () => new Uint8Array()],
    ['a stream that ends at once', () => new Blob([]).stream()],
  ])('uploads %s', async ([, make]) => {
    const server = await makeTenant()
    const api = apiOf(server)
    const file = await api.createFile(make(), 'user_data')
    expect(file.bytes).toBe(0)
    expect(await api.downloadFile(file.id)).toBe('')
  })

  it.for(['plain.txt', 'say "hello".txt', 'naïve 日本語 🙂.txt', "it's 100%.txt", 'a;b=c.txt'])(
    'keeps the name %s',
    async (filename) => {
      const server = await makeTenant()
      const api = apiOf(server)
      const byOption = await api.createFile(new Blob(['1']), 'user_data', { filename })
      const byFile = await api.createFile(new File(['2'], filename), 'user_data')
      const both = new File(['3'], 'other.txt')
      const overruled = await api.createFile(both, 'user_data', { filename })
      for (const file of [byOption, byFile, overruled]) expect(file.filename).toBe(filename)
      expect(await api.retrieveFile(byFile.id)).toEqual(byFile)
    },
  )

  it('creates a file that expires', async () => {
    const server = await makeTenant()
    const options = { expiresAfterSeconds: 7200 }
    const file = await apiOf(server).createFile(new Blob(['1']), 'user_data', options)
    expect(file.expires_at).toBe(file.created_at + 7200)
  })

  it('sends the length of the request where that is known', async () => {
    await using made = await makeFile('known.bin')
    const known = [new Blob([content]), content, await fileFromPath(made.path)]
    await using server = await startScript(...known.map(() => ({ body: someFile })))
    for (const source of known) await server.api().createFile(source, 'user_data')
    for (const { headers, body } of server.requests) {
      expect(headers).toMatchObject({ 'content-length': String(body.length) })
      expect(headers).not.toHaveProperty('transfer-encoding')
      expect(body.length).toBeGreaterThan(content.length)
    }
  })

  it('sends a request without its length where the content has none', async () => {
    await using server = await startScript({ body: someFile })
    await server.api().createFile(pieces(), 'user_data')
    const [request] = server.requests
    expect(request?.headers).toMatchObject({ 'transfer-encoding': 'chunked' })
    expect(request?.headers).not.toHaveProperty('content-length')
  })

  it('tells the configured organization, project and headers', async () => {
    await using server = await startScript({ body: { data: [] } })
    const headers = { 'x-of-mine': 'yes', authorization: 'Basic abc' }
    await server.api({ organization: 'org-1', project: 'proj_1', headers }).listFiles()
    expect(server.requests[0]?.headers).toMatchObject({
      'openai-organization': 'org-1',
      'openai-project': 'proj_1',
      ...headers,
    })
  })

  it('throws what the content throws, and stores nothing', async () => {
    await using server = await startServer()
    async function* broken() {
      yield content
      throw reason
    }
    const left = server.logged('the client left before its request was whole')
    await expect(apiOf(server).createFile(broken(), 'user_data')).rejects.toBe(reason)
    await left
    expect(await server.stored()).toMatchObject({ files: 0, blobs: [] })
  })

  it('refuses a path whose file changes its size while it is read', async () => {
    const server = await makeTenant()
    await using made = await makeFile('growing.bin')
    const source = await fileFromPath(made.path)
    await writeFile(made.path, Buffer.concat([content, content]))
    const created = apiOf(server, { maxRetries: 2 }).createFile(source, 'user_data')
    await expect(created).rejects.toThrow('growing.bin changed while it was read.')
  })

  it('refuses the path of a folder, and one where nothing is', async () => {
    await using made = await makeFile('file.bin')
    await expect(fileFromPath(made.folder)).rejects.toThrow('is a folder')
    await expect(fileFromPath(join(made.folder, 'none'))).rejects.toThrow('ENOENT')
  })

  it('closes content that the server does not want to the end', async () => {
    const server = await makeTenant()
    const closed = Promise.withResolvers<void>()
    async function* endless() {
      try {
        for (;;) yield new Uint8Array(MiB)
      } finally {
        closed.resolve()
      }
    }
    const created = apiOf(server, { accessToken: 'sk-wrong' }).createFile(endless(), 'user_data')
    await expect(created).rejects.toThrow(UnauthorizedException)
    await closed.promise
  })
})

/** A line of a batch; the id is left out where it is undefined. */
function requestLine(custom_id: string | undefined, model = 'gpt-4.1-mini'): string {
  const body = { model, input: 'What is 2 + 2?' }
  return `${JSON.stringify({ custom_id, method: 'POST', url: '/v1/responses', body })}\n`
}

const missingId = {
  code: 'missing_required_parameter',
  message: "Missing required parameter: 'custom_id'.",
  param: 'custom_id',
  expected: "the parameter 'custom_id'",
}

describe.concurrent('checkFile', () => {
  const lines = requestLine('one') + requestLine('two')

  it.for<[string, () => Uploadable]>([
    ['a File', () => new File([lines], 'batch.jsonl')],
    ['bytes', () => new TextEncoder().encode(lines)],
    ['a ReadableStream', () => new Blob([lines]).stream()],
  ])('tells of %s what is known, and stores nothing', async ([, make]) => {
    const server = await makeTenant()
    const api = apiOf(server)
    const told: number[] = []
    const check = await api.checkFile(make(), 'batch', {
      filename: 'batch.jsonl',
      onProgress: (sent) => told.push(sent),
    })
    expect(check).toEqual({
      object: 'file.check',
      valid: true,
      ...{ purpose: 'batch', filename: 'batch.jsonl', bytes: lines.length },
      sha256: createHash('sha256').update(lines).digest('hex'),
      mime_type: 'application/jsonl',
      num_lines: 2,
      tokens: expect.any(Number),
      models: { 'gpt-4.1-mini': 2 },
      ...{ details: [], details_total: 0 },
    })
    expect(told.at(-1)).toBe(lines.length)
    expect((await api.listFiles()).data).toEqual([])
    expect(await server.usedBytes()).toBe(0)
  })

  it('tells the first hundred faults, and how many there are', async () => {
    const text = requestLine('one') + requestLine(undefined).repeat(123)
    const api = apiOf(await makeTenant())
    const check = await api.checkFile(new File([text], 'batch.jsonl'), 'batch')
    expect(check).toMatchObject({ valid: false, num_lines: 124, details_total: 123 })
    expect(check.details).toHaveLength(100)
    const [first] = check.details
    expect(first).toEqual({ line: 2, offset: requestLine('one').length, ...missingId })
  })

  it('throws where the purpose is none, and where the server knows no checks', async () => {
    const api = apiOf(await makeTenant())
    await expect(api.checkFile(new Blob(['1']), 'nonsense')).rejects.toThrow(BadRequestException)
    await using other = await startScript({ status: 404 }, { body: someFile })
    const check = () => other.api().checkFile(new Blob(['1']), 'batch')
    await expect(check()).rejects.toThrow(NotFoundException)
    await expect(check()).rejects.toThrow('something that is no check of a file')
    expect(other.requests[0]?.url).toBe('/v1/files/check')
  })

  it('can be ended on its way', async () => {
    const controller = new AbortController()
    const { signal } = controller
    async function* endless() {
      for (;;) yield new Uint8Array(64 * KiB)
    }
    const checked = apiOf(await makeTenant()).checkFile(endless(), 'user_data', {
      signal,
      onProgress(sent) {
        if (sent > MiB) controller.abort(reason)
      },
    })
    await expect(checked).rejects.toBe(reason)
  })
})

describe.concurrent('content', () => {
  it('that is refused is told with its faults', async () => {
    const text = requestLine('one') + requestLine(undefined).repeat(123)
    const api = apiOf(await makeTenant())
    const error = await api.createFile(new File([text], 'batch.jsonl'), 'batch').catch((e) => e)
    expect(error).toBeInstanceOf(BadRequestException)
    expect(error.message).toBe(
      "Line 2: Missing required parameter: 'custom_id'. (The first of 123 faults.)",
    )
    expect(error.detailsTotal).toBe(123)
    expect(error.details).toHaveLength(100)
    expect(error.details[99]).toMatchObject({ line: 101, ...missingId })
  })

  it('that is taken is told with what was found', async () => {
    const text = requestLine('one') + requestLine('two')
    const api = apiOf(await makeTenant())
    const file = await api.createFile(new File([text], 'batch.jsonl'), 'batch')
    const { sha256, mime_type, num_lines }: OpenAIFile = file
    expect({ sha256, mime_type, num_lines }).toEqual({
      sha256: createHash('sha256').update(text).digest('hex'),
      mime_type: 'application/jsonl',
      num_lines: 2,
    })
    expect(await api.retrieveFile(file.id)).toEqual(file)
  })
})

describe.concurrent('what is large', () => {
  it('is never in memory as a whole, on its way up or down', async () => {
    await using server = await startServer({ settings: { COFFER_LOG_LEVEL: 'silent' } })
    const program = join(import.meta.dirname, 'memory-program.ts')
    const run = await startNode(program, [`${server.url}/v1`, server.apiKey]).ended
    expect(run).toMatchObject({ code: 0, stderr: '' })
    const { bytes, received, upload, download } = JSON.parse(run.stdout)
    expect([bytes, received]).toEqual([256 * MiB, 256 * MiB])
    expect(upload).toBeLessThan(100 * MiB)
    expect(download).toBeLessThan(100 * MiB)
    console.log(`grew by ${upload / MiB} MiB uploading, by ${download / MiB} MiB downloading`)
  })
})

describe.concurrent('downloadFile', () => {
  it('gives the text', async () => {
    const server = await makeTenant()
    const text = 'naïve 日本語 🙂\r\n'.repeat(20_000)
    const { id } = await server.create(text)
    expect(await apiOf(server).downloadFile(id)).toBe(text)
  })
})

describe.concurrent('openFile', () => {
  it.for([
    [{ start: 2 }, '23456789', 2],
    [{ start: 2, end: 5 }, '234', 2],
    [{ start: 0, end: 1 }, '0', 0],
    [{ start: 8, end: 100 }, '89', 8],
  ] as const)('gives the range %o', async ([range, text, start]) => {
    const server = await makeTenant()
    const { id } = await server.create('0123456789')
    const part = await apiOf(server).openFile(id, { range })
    expect(part).toMatchObject({ start, bytes: text.length, totalBytes: 10 })
    expect(await part.text()).toBe(text)
  })

  it('gives the whole and its SHA-256 as ETag', async () => {
    const server = await makeTenant()
    const { id } = await server.create(content)
    const file = await apiOf(server).openFile(id)
    const etag = `"${createHash('sha256').update(content).digest('hex')}"`
    const { length } = content
    expect(file).toMatchObject({ start: 0, bytes: length, totalBytes: length, etag })
    expect(Buffer.from(await file.arrayBuffer())).toEqual(content)
  })

  it('gives a stream', async () => {
    const server = await makeTenant()
    const { id } = await server.create(content)
    const stream = (await apiOf(server).openFile(id)).stream()
    expect(Buffer.from(await new Response(stream).arrayBuffer())).toEqual(content)
  })

  it('gives the whole of another content than the range was of', async () => {
    const server = await makeTenant()
    const { id } = await server.create('0123456789')
    const options = { range: { start: 2 }, ifRange: '"another"' }
    const file = await apiOf(server).openFile(id, options)
    expect(file).toMatchObject({ start: 0, totalBytes: 10 })
    expect(await file.text()).toBe('0123456789')
  })

  it('throws where the range lies behind the end', async () => {
    const server = await makeTenant()
    const { id } = await server.create('0123456789')
    const opened = apiOf(server).openFile(id, { range: { start: 10 } })
    await expect(opened).rejects.toMatchObject({ status: 416 })
  })

  it('ends the request of content that nobody reads', async () => {
    for (const end of [
      (file: FileContent) => file.cancel(),
      (file: FileContent) => file.stream().cancel(),
    ]) {
      const left = Promise.withResolvers<void>()
      await using server = await startScript((response) => {
        response.once('close', left.resolve)
        response.writeHead(200, { 'content-length': '10' }).write('half ')
      })
      await end(await server.api().openFile('file-1'))
      await left.promise
    }
  })

  it.for(['iterating', 'the stream'])('ends the request when %s ends early', async (way) => {
    const left = Promise.withResolvers<void>()
    await using server = await startScript((response) => {
      response.once('close', left.resolve)
      response.writeHead(200, { 'content-length': '10' }).write('half ')
    })
    const file = await server.api().openFile('file-1')
    if (way === 'iterating') for await (const _ of file) break
    else {
      const reader = file.stream().getReader()
      await reader.read()
      await reader.cancel()
    }
    await left.promise
  })

  it('throws a ConnectionException where the connection breaks within the content', async () => {
    await using server = await startScript((response) => {
      response.writeHead(200, { 'content-length': '10' })
      response.write('half ')
    })
    const file = await server.api().openFile('file-1')
    const read = file.text()
    server.breakConnections()
    await expect(read).rejects.toThrow(ConnectionException)
    await expect(read).rejects.toThrow(new URL(server.host).host)
  })

  it('throws where fewer bytes come than announced', async () => {
    const lying: typeof fetch = async () =>
      new Response('half', { headers: { 'content-length': '8' } })
    await using server = await startScript()
    const file = await server.api({ fetch: lying }).openFile('file-1')
    await expect(file.text()).rejects.toThrow('4 bytes came of 8.')
  })
})

describe.concurrent('iterateFiles', () => {
  async function createMany(api: FilesApi, count: number): Promise<string[]> {
    const ids: string[] = []
    for (let n = 0; n < count; n += 1) {
      const purpose = n % 2 === 0 ? 'user_data' : 'assistants'
      ids.push((await api.createFile(new Blob([`${n}`]), purpose, { filename: `${n}.txt` })).id)
    }
    return ids
  }

  it.for([1, 2, 3, 7, 100])('gives all files, %i on a page', async (limit) => {
    const server = await makeTenant()
    const api = apiOf(server)
    const ids = await createMany(api, 7)
    const idsOf = (order: 'asc' | 'desc') =>
      Array.fromAsync(api.iterateFiles({ limit, order }), ({ id }) => id)
    expect(await idsOf('asc')).toEqual(ids)
    expect(await idsOf('desc')).toEqual(ids.toReversed())
  })

  it('gives what a purpose and a beginning leave', async () => {
    const server = await makeTenant()
    const api = apiOf(server)
    const ids = await createMany(api, 6)
    const options = { limit: 1, order: 'asc', purpose: 'user_data', after: ids[0] } as const
    const rest = await Array.fromAsync(api.iterateFiles(options), ({ id }) => id)
    expect(rest).toEqual([ids[2], ids[4]])
  })

  it('gives nothing where no file is', async () => {
    const server = await makeTenant()
    expect(await Array.fromAsync(apiOf(server).iterateFiles())).toEqual([])
  })

  it.for([1, 3])('gives all files while each is deleted, %i on a page', async (limit) => {
    const server = await makeTenant()
    const api = apiOf(server)
    const ids = await createMany(api, 7)
    const seen: string[] = []
    for await (const { id } of api.iterateFiles({ limit, order: 'asc' })) {
      seen.push(id)
      expect(await api.deleteFile(id)).toEqual({ id, object: 'file', deleted: true })
    }
    expect(seen).toEqual(ids)
    expect((await api.listFiles()).data).toEqual([])
  })

  it('asks for the next page before it gives away the file that this begins behind', async () => {
    const [first, second] = ['file-1', 'file-2'].map((id) => ({ ...someFile, id }))
    await using server = await startScript(
      { body: { data: [first], has_more: true } },
      { body: { data: [second], has_more: false } },
    )
    const files = server.api().iterateFiles({ limit: 1 })
    expect((await files.next()).value).toEqual(first)
    expect(server.requests).toHaveLength(2)
    expect((await files.next()).value).toEqual(second)
  })
})

describe.concurrent('what the server refuses', () => {
  it('is told by status, param, code and request id', async () => {
    const server = await makeTenant()
    const error = await apiOf(server)
      .retrieveFile('file-none')
      .catch((e) => e)
    expect(error).toBeInstanceOf(NotFoundException)
    expect(error).toBeInstanceOf(ApiException)
    expect(error).toMatchObject({
      name: 'NotFoundException',
      message: 'No such File object: file-none',
      status: 404,
      param: 'id',
      code: undefined,
      type: 'invalid_request_error',
      requestId: expect.stringMatching(/^req_/),
      body: expect.stringContaining('No such File object'),
    })
  })

  it('is a BadRequestException for a wrong parameter', async () => {
    const server = await makeTenant()
    const listed = apiOf(server).listFiles({ purpose: 'none' })
    await expect(listed).rejects.toThrow(BadRequestException)
    await expect(listed).rejects.toMatchObject({ status: 400, param: 'purpose' })
  })

  it('is an UnauthorizedException for a wrong key, and for none', async () => {
    const server = await makeTenant()
    for (const accessToken of ['sk-wrong', undefined]) {
      const listed = apiOf(server, { accessToken }).listFiles()
      await expect(listed).rejects.toThrow(UnauthorizedException)
    }
  })

  it('is a ContentTooLargeException for a file too large, known before or not', async () => {
    await using server = await startServer({
      settings: { COFFER_MAX_FILE_BYTES: '1000', COFFER_STOP_SECONDS: '1' },
    })
    const api = apiOf(server)
    for (const make of [() => content, pieces]) {
      const created = api.createFile(make(), 'user_data')
      await expect(created).rejects.toThrow(ContentTooLargeException)
    }
  })

  it('is a BadRequestException for content that may not be downloaded', async () => {
    await using server = await startServer({ settings: { COFFER_PROFILE: 'openai' } })
    const { id } = await server.create()
    await expect(apiOf(server).downloadFile(id)).rejects.toThrow(BadRequestException)
  })

  it("is another tenant's file like one that is not there", async () => {
    await using server = await startServer()
    const { id } = await server.create()
    const other = apiOf({ ...(await server.addTenant()), url: server.url })
    const asked = [other.retrieveFile(id), other.downloadFile(id), other.deleteFile(id)]
    await Promise.all(asked.map((ask) => expect(ask).rejects.toThrow(NotFoundException)))
  })

  it('is a ConnectionException where no server is', async () => {
    const server = await startServer()
    const api = apiOf(server)
    await server[Symbol.asyncDispose]()
    const listed = api.listFiles()
    await expect(listed).rejects.toThrow(ConnectionException)
    await expect(listed).rejects.toThrow('ECONNREFUSED')
  })

  it('is a TypeError for no id, and no request', async () => {
    await using server = await startScript()
    await expect(server.api().retrieveFile('')).rejects.toThrow(TypeError)
    expect(server.requests).toEqual([])
  })
})

describe.concurrent('an AbortSignal', () => {
  it('that is aborted already keeps the request from being sent', async () => {
    await using server = await startScript()
    const options = { signal: AbortSignal.abort(reason) }
    const api = server.api()
    const calls = [
      api.listFiles(options),
      api.retrieveFile('file-1', options),
      api.downloadFile('file-1', options),
      api.deleteFile('file-1', options),
      api.createFile(new Blob(['1']), 'user_data', options),
      api.checkFile(new Blob(['1']), 'user_data', options),
    ]
    await Promise.all(calls.map((call) => expect(call).rejects.toBe(reason)))
    expect(server.requests).toEqual([])
  })

  it('ends a request that is not answered yet', async () => {
    const left = Promise.withResolvers<void>()
    const controller = new AbortController()
    await using server = await startScript((response) => {
      response.once('close', left.resolve)
      controller.abort(reason)
    })
    const found = server.api().retrieveFile('file-1', { signal: controller.signal })
    await expect(found).rejects.toBe(reason)
    await left.promise
  })

  it('ends an upload on its way, of which nothing stays', async () => {
    await using server = await startServer()
    const controller = new AbortController()
    const left = server.logged('the client left before its request was whole')
    async function* endless() {
      for (;;) yield new Uint8Array(64 * KiB)
    }
    const created = apiOf(server).createFile(endless(), 'user_data', {
      signal: controller.signal,
      onProgress(sent) {
        if (sent > MiB) controller.abort(reason)
      },
    })
    await expect(created).rejects.toBe(reason)
    await left
    await until(async () => (await server.stored()).blobs.length === 0)
    expect(await server.stored()).toMatchObject({ files: 0, blobs: [] })
  })

  it('ends an upload whose content does not come', async () => {
    const server = await makeTenant()
    const controller = new AbortController()
    async function* stalled() {
      yield new Uint8Array(10)
      controller.abort(reason)
      await Promise.withResolvers<void>().promise
    }
    const { signal } = controller
    await expect(apiOf(server).createFile(stalled(), 'user_data', { signal })).rejects.toBe(reason)
  })

  it('ends a download on its way', async () => {
    const left = Promise.withResolvers<void>()
    const controller = new AbortController()
    await using server = await startScript((response) => {
      response.once('close', left.resolve)
      response.writeHead(200, { 'content-length': '10' }).write('half ')
    })
    const file = await server.api().openFile('file-1', { signal: controller.signal })
    const read = async () => {
      for await (const _ of file) controller.abort(reason)
    }
    await expect(read()).rejects.toBe(reason)
    await left.promise
  })

  it('ends the wait for another try', async () => {
    const controller = new AbortController()
    await using server = await startScript((response) => {
      response.once('close', () => controller.abort(reason))
      response.writeHead(503, { 'retry-after': '30' }).end()
    }, beSilent)
    const begin = performance.now()
    const found = server.api().retrieveFile('file-1', { signal: controller.signal })
    await expect(found).rejects.toBe(reason)
    expect(performance.now() - begin).toBeLessThan(5000)
    expect(server.requests).toHaveLength(1)
  })
})
