import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Readable } from 'node:stream'
import { File, Upload } from '@coffer/contract'
import fc from 'fast-check'
import { Upload as TusUpload, type UploadOptions } from 'tus-js-client'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { type Client, startServer } from './start-server.ts'
import { until } from './until.ts'

const KiB = 1024
let now = 1_800_000_000
const partBytes = 64 * KiB
const quota = 8 * KiB * KiB
const server = await startServer({
  clock: { now: () => now },
  settings: {
    COFFER_MAX_UPLOAD_BYTES: String(4 * KiB * KiB),
    COFFER_MAX_PART_BYTES: String(partBytes),
    COFFER_ORGANIZATION_QUOTA_BYTES: String(quota),
  },
})
afterAll(() => server[Symbol.asyncDispose]())

const offsetBytes = { 'content-type': 'application/offset+octet-stream' }

function metadata(fields: Record<string, string> = {}): string {
  const all = { filename: 'notes.txt', purpose: 'user_data', ...fields }
  return Object.entries(all)
    .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
    .join(',')
}

function ask(
  client: Client,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Uint8Array<ArrayBuffer>,
): Promise<Response> {
  const all = { 'tus-resumable': '1.0.0', ...headers }
  return client.fetch(path, { method, headers: all, ...(body && { body }) })
}

/** Creates an Upload and gives its path. */
async function begin(client: Client, bytes: number, fields?: Record<string, string>) {
  const headers = { 'upload-length': String(bytes), 'upload-metadata': metadata(fields) }
  const response = await ask(client, 'POST', '/v1/tus', headers)
  expect(response.status).toBe(201)
  return String(response.headers.get('location'))
}

function patch(
  client: Client,
  path: string,
  offset: number,
  body: Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  const all = { ...offsetBytes, 'upload-offset': String(offset), ...headers }
  return ask(client, 'PATCH', path, all, body)
}

async function offsetOf(client: Client, path: string): Promise<number> {
  const response = await ask(client, 'HEAD', path)
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  return Number(response.headers.get('upload-offset'))
}

async function contentOf(client: Client, id: string | null): Promise<Buffer> {
  const response = await client.fetch(`/v1/files/${id}/content`)
  expect(response.status).toBe(200)
  return Buffer.from(await response.arrayBuffer())
}

function idOf(path: string): string {
  return path.replace('/v1/tus/', '')
}

async function retrieve(client: Client, path: string): Promise<Upload> {
  return Upload.parse(await (await client.fetch(`/v1/uploads/${idOf(path)}`)).json())
}

/** Begins a PATCH of `bytes` and sends only `content`. */
async function sendSome(
  path: string,
  offset: number,
  bytes: number,
  content: Uint8Array,
  headers: Record<string, string> = {},
) {
  const connection = await server.connect()
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  connection.write(
    `PATCH ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.apiKey}\r\n` +
      `tus-resumable: 1.0.0\r\ncontent-type: application/offset+octet-stream\r\n` +
      `upload-offset: ${offset}\r\ncontent-length: ${bytes}\r\n${lines.join('')}\r\n`,
    content,
  )
  return connection
}

describe('the protocol', () => {
  it('is told by OPTIONS', async () => {
    const { status, headers } = await server.fetch('/v1/tus', { method: 'OPTIONS' })
    expect(status).toBe(204)
    expect(Object.fromEntries(headers)).toMatchObject({
      'tus-resumable': '1.0.0',
      'tus-version': '1.0.0',
      'tus-max-size': String(4 * KiB * KiB),
      'tus-extension': 'creation,creation-with-upload,expiration,termination,checksum',
      'tus-checksum-algorithm': 'sha1,sha256,md5',
    })
  })

  it('is the only one', async () => {
    for (const version of ['0.2.2', '']) {
      const response = await ask(server, 'POST', '/v1/tus', { 'tus-resumable': version })
      expect(response.headers.get('tus-version')).toBe('1.0.0')
      expect(await readRefusal(response)).toEqual(
        refusal(
          412,
          "The header 'Tus-Resumable: 1.0.0' is missing: no other version of tus is spoken here.",
        ),
      )
    }
  })

  it('is not told to pages of other origins', async () => {
    const headers = { origin: 'https://elsewhere.example' }
    const response = await server.fetch('/v1/tus', { method: 'OPTIONS', headers })
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-'))).toEqual([])
  })

  it('lets PATCH and DELETE come as POST', async () => {
    const path = await begin(server, 3)
    const headers = { ...offsetBytes, 'upload-offset': '0', 'x-http-method-override': 'PATCH' }
    const response = await ask(server, 'POST', path, headers, Buffer.from('abc'))
    expect(response.status).toBe(204)
    expect(await contentOf(server, response.headers.get('coffer-file-id'))).toEqual(
      Buffer.from('abc'),
    )
    const other = await begin(server, 3)
    for (const method of ['TRACE', 'constructor', 'a b', 'patch', 'POST']) {
      const override = { 'x-http-method-override': method }
      expect((await ask(server, 'POST', other, override)).status).toBe(405)
    }
    expect((await ask(server, 'POST', other)).status).toBe(405)
    const termination = { 'x-http-method-override': 'DELETE' }
    expect((await ask(server, 'POST', other, termination)).status).toBe(204)
  })
})

describe('an upload', () => {
  it('grows by what is sent at its offset, and becomes a file', async () => {
    const content = randomBytes(3 * KiB)
    const path = await begin(server, content.length, { filetype: 'text/plain', note: 'é' })
    expect(path).toMatch(/^\/v1\/tus\/upload_/)
    const first = await patch(server, path, 0, content.subarray(0, KiB))
    expect([first.status, first.headers.get('upload-offset')]).toEqual([204, '1024'])
    expect(first.headers.get('coffer-file-id')).toBeNull()

    const head = await ask(server, 'HEAD', path)
    expect(Object.fromEntries(head.headers)).toMatchObject({
      'upload-offset': '1024',
      'upload-length': '3072',
      'upload-metadata': metadata({ filetype: 'text/plain', note: 'é' }),
      'upload-expires': new Date((now + 3600) * 1000).toUTCString(),
    })

    const last = await patch(server, path, KiB, content.subarray(KiB))
    expect([last.status, last.headers.get('upload-offset')]).toEqual([204, '3072'])
    expect(last.headers.get('upload-expires')).toBeNull()
    const id = last.headers.get('coffer-file-id')
    expect(await contentOf(server, id)).toEqual(content)
    const upload = await retrieve(server, path)
    expect(upload).toMatchObject({ status: 'completed', file: { id, filename: 'notes.txt' } })

    // For whoever never got the last answer.
    const again = await ask(server, 'HEAD', path)
    expect(again.headers.get('upload-offset')).toBe('3072')
    expect(again.headers.get('coffer-file-id')).toBe(id)
  })

  it('may be sent with its creation', async () => {
    const content = randomBytes(KiB)
    const headers = { ...offsetBytes, 'upload-length': '1024', 'upload-metadata': metadata() }
    const response = await ask(server, 'POST', '/v1/tus', headers, content)
    expect([response.status, response.headers.get('upload-offset')]).toEqual([201, '1024'])
    expect(await contentOf(server, response.headers.get('coffer-file-id'))).toEqual(content)
  })

  it('may be empty', async () => {
    const headers = { 'upload-length': '0', 'upload-metadata': metadata() }
    const response = await ask(server, 'POST', '/v1/tus', headers)
    expect(response.status).toBe(201)
    expect(await contentOf(server, response.headers.get('coffer-file-id'))).toEqual(Buffer.alloc(0))
  })

  it('is byte-exact however it is cut, also where its pieces repeat', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 3 * partBytes }), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (lengths, repeats) => {
          const bytes = lengths.reduce((sum, length) => sum + length, 0)
          const content = repeats ? Buffer.alloc(bytes, 7) : randomBytes(bytes)
          const path = await begin(server, bytes)
          let at = 0
          let id: string | null = null
          for (const length of lengths) {
            const response = await patch(server, path, at, content.subarray(at, at + length))
            at += length
            expect(response.headers.get('upload-offset')).toBe(String(at))
            id = response.headers.get('coffer-file-id')
          }
          expect((await contentOf(server, id)).equals(content)).toBe(true)
          await server.fetch(`/v1/files/${id}`, { method: 'DELETE' })
        },
      ),
      { numRuns: 20 },
    )
  })

  it('is finished by who asks for it, where the server stopped before', async () => {
    const content = randomBytes(2 * KiB)
    const path = await begin(server, content.length)
    await patch(server, path, 0, content.subarray(0, KiB))
    // The last part comes by the other road, which waits for a completion.
    const form = new FormData()
    form.set('data', new Blob([content.subarray(KiB)]))
    await server.fetch(`/v1/uploads/${idOf(path)}/parts`, { method: 'POST', body: form })
    expect((await retrieve(server, path)).status).toBe('pending')
    const response = await ask(server, 'HEAD', path)
    expect(response.headers.get('upload-offset')).toBe('2048')
    expect(await contentOf(server, response.headers.get('coffer-file-id'))).toEqual(content)
  })

  it('keeps what came before the connection broke', async () => {
    const content = randomBytes(4 * partBytes)
    const path = await begin(server, content.length)
    const sent = 2 * partBytes + 10 * KiB
    const connection = await sendSome(path, 0, content.length, content.subarray(0, sent))
    // The third part has begun.
    await until(async () => (await retrieveParts(path)) === 2)
    connection.socket.end()
    await until(async () => (await retrieveParts(path)) === 3)
    expect(await offsetOf(server, path)).toBe(sent)
    const rest = await patch(server, path, sent, content.subarray(sent))
    expect(await contentOf(server, rest.headers.get('coffer-file-id'))).toEqual(content)
  })

  it('goes on although a request before still waits for its bytes', async () => {
    const content = randomBytes(3 * partBytes)
    const path = await begin(server, content.length)
    const sent = partBytes + 10 * KiB
    const hanging = await sendSome(path, 0, content.length, content.subarray(0, sent))
    await until(async () => (await retrieveParts(path)) === 1)
    const offset = await offsetOf(server, path)
    expect([partBytes, sent]).toContain(offset)
    await hanging.closed()
    const rest = await patch(server, path, offset, content.subarray(offset))
    expect(await contentOf(server, rest.headers.get('coffer-file-id'))).toEqual(content)
  })

  it('becomes one file when many send its last bytes at once', async () => {
    const content = randomBytes(KiB)
    const before = (await server.stored()).files
    const path = await begin(server, content.length)
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => patch(server, path, 0, content)),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 204)).toHaveLength(1)
    expect(new Set(statuses)).toEqual(new Set([204, 409]))
    expect((await server.stored()).files).toBe(before + 1)
  })
})

async function retrieveParts(path: string): Promise<number> {
  const response = await server.fetch(`/v1/uploads/${idOf(path)}/parts`)
  const { data } = (await response.json()) as { data: unknown[] }
  return data.length
}

describe('a checksum', () => {
  it.each(['sha1', 'sha256', 'md5'])('of %s lets the right bytes pass', async (algorithm) => {
    const content = randomBytes(partBytes + KiB)
    const path = await begin(server, content.length)
    const digest = createHash(algorithm).update(content).digest('base64')
    const headers = { 'upload-checksum': `${algorithm} ${digest}` }
    const response = await patch(server, path, 0, content, headers)
    expect(response.status).toBe(204)
    expect(await contentOf(server, response.headers.get('coffer-file-id'))).toEqual(content)
  })

  it('keeps none of wrong bytes', async () => {
    const content = randomBytes(partBytes + KiB)
    const path = await begin(server, content.length)
    const before = await server.stored()
    const headers = { 'upload-checksum': `sha1 ${Buffer.alloc(20).toString('base64')}` }
    const response = await patch(server, path, 0, content, headers)
    expect(await readRefusal(response)).toMatchObject({
      status: 460,
      message: expect.stringMatching(/not those that Upload-Checksum stands for/),
    })
    expect(await offsetOf(server, path)).toBe(0)
    await until(async () => (await server.stored()).looseBlobs === before.looseBlobs)
  })

  it('keeps none of the bytes that it cannot be held against', async () => {
    const content = randomBytes(3 * partBytes)
    const path = await begin(server, content.length)
    const before = (await server.stored()).blobs.length
    const digest = createHash('sha1').update(content).digest('base64')
    const some = content.subarray(0, 2 * partBytes)
    const headers = { 'upload-checksum': `sha1 ${digest}` }
    const connection = await sendSome(path, 0, content.length, some, headers)
    const left = server.logged('the client left before its request was whole')
    await until(async () => (await server.stored()).blobs.length > before)
    connection.socket.destroy()
    await left
    expect(await offsetOf(server, path)).toBe(0)
  })

  it.each(['crc32 AAAA', 'sha1', 'sha1 %%%'])('as %s is refused', async (header) => {
    const path = await begin(server, 3)
    const response = await patch(server, path, 0, Buffer.from('abc'), { 'upload-checksum': header })
    expect(await readRefusal(response)).toMatchObject({ status: 400 })
    expect(await offsetOf(server, path)).toBe(0)
  })
})

describe('what ends an upload', () => {
  it('is its termination, which gives its bytes back', async () => {
    const used = await server.usedBytes()
    const path = await begin(server, KiB)
    await patch(server, path, 0, randomBytes(100))
    expect(await server.usedBytes()).toBe(used + KiB)
    expect((await ask(server, 'DELETE', path)).status).toBe(204)
    expect(await server.usedBytes()).toBe(used)
    expect((await ask(server, 'HEAD', path)).status).toBe(404)
    expect((await patch(server, path, 100, randomBytes(10))).status).toBe(404)
    expect((await ask(server, 'DELETE', path)).status).toBe(404)
  })

  it('is not its completion: the file stays', async () => {
    const path = await begin(server, 3)
    const response = await patch(server, path, 0, Buffer.from('abc'))
    expect((await ask(server, 'DELETE', path)).status).toBe(400)
    const id = response.headers.get('coffer-file-id')
    expect(await contentOf(server, id)).toEqual(Buffer.from('abc'))
  })

  it('is its time', async () => {
    const path = await begin(server, KiB)
    await patch(server, path, 0, randomBytes(100))
    now += 3600
    expect((await ask(server, 'HEAD', path)).status).toBe(410)
    expect(await readRefusal(await patch(server, path, 100, randomBytes(10)))).toEqual(
      refusal(410, `The Upload '${idOf(path)}' has expired.`),
    )
  })
})

describe('what is refused', () => {
  const needed = { 'upload-length': '3', 'upload-metadata': metadata() }
  const encoded = (text: string) => Buffer.from(text).toString('base64')

  it.each([
    ['no length', { 'upload-length': '' }, 400, /Upload-Length/i],
    ['a length that is none', { 'upload-length': '-3' }, 400, /upload-length/],
    [
      'a length to be told later',
      { 'upload-length': '', 'upload-defer-length': '1' },
      400,
      /defer/,
    ],
    ['too large a length', { 'upload-length': '4194305' }, 413, /Maximum size/],
    ['no purpose', { 'upload-metadata': `filename ${encoded('a')}` }, 400, /'purpose'/],
    ['no filename', { 'upload-metadata': `purpose ${encoded('user_data')}` }, 400, /'filename'/],
    ['an unknown purpose', { 'upload-metadata': metadata({ purpose: 'x' }) }, 400, /'x'/],
    ['a name that is none', { 'upload-metadata': metadata({ filename: 'a\0' }) }, 400, /filename/],
    [
      'a type that is none',
      { 'upload-metadata': metadata({ filetype: 'a/b\0' }) },
      400,
      /filetype/,
    ],
    ['metadata that is none', { 'upload-metadata': 'purpose %%' }, 400, /upload-metadata/],
  ])('at its creation: %s', async (_, headers, status, message) => {
    const all = Object.entries({ ...needed, ...headers }).filter(([, value]) => value !== '')
    const response = await ask(server, 'POST', '/v1/tus', Object.fromEntries(all))
    expect(response.headers.get('tus-resumable')).toBe('1.0.0')
    expect(await readRefusal(response)).toMatchObject({
      status,
      message: expect.stringMatching(message),
    })
  })

  it('at its creation: more than the quota', async () => {
    const path = await begin(server, 4 * KiB * KiB)
    const headers = { ...needed, 'upload-length': String(4 * KiB * KiB) }
    const response = await ask(server, 'POST', '/v1/tus', headers)
    expect(await readRefusal(response)).toMatchObject({ message: expect.stringMatching(/quota/) })
    await ask(server, 'DELETE', path)
  })

  it('another offset than the upload has', async () => {
    const path = await begin(server, 3)
    expect((await patch(server, path, 1, Buffer.from('bc'))).status).toBe(409)
    expect(await offsetOf(server, path)).toBe(0)
  })

  it('more bytes than were announced, told before and not', async () => {
    const path = await begin(server, 3)
    expect((await patch(server, path, 0, Buffer.from('abcd'))).status).toBe(413)
    const body = Readable.toWeb(Readable.from([Buffer.from('ab'), Buffer.from('cd')]))
    const headers = { 'tus-resumable': '1.0.0', ...offsetBytes, 'upload-offset': '0' }
    const init = { method: 'PATCH', headers, body, duplex: 'half' } as RequestInit
    expect((await server.fetch(path, init)).status).toBe(400)
    expect(await offsetOf(server, path)).toBe(0)
  })

  it('more bytes than were announced, before more of them are stored, checked or not', async () => {
    const path = await begin(server, partBytes + 1)
    const blobs = (await server.stored()).blobs.length
    const sum = createHash('sha1').update('').digest('base64')
    for (const checked of [{ 'upload-checksum': `sha1 ${sum}` }, {}]) {
      const source = async function* () {
        for (let sent = 0; sent < 64; sent += 1) yield Buffer.alloc(partBytes)
      }
      const body = Readable.toWeb(Readable.from(source()))
      const headers = { 'tus-resumable': '1.0.0', ...offsetBytes, 'upload-offset': '0', ...checked }
      const init = { method: 'PATCH', headers, body, duplex: 'half' } as RequestInit
      expect((await server.fetch(path, init)).status).toBe(400)
      // The first part of the one that cannot be checked is kept.
      expect((await server.stored()).blobs.length - blobs).toBeLessThanOrEqual(2)
    }
  })

  it('an Upload that is not of a tus client, whose parts may come in any order', async () => {
    const about = { filename: 'a', purpose: 'user_data', bytes: 10, mime_type: 'text/plain' }
    const init = { method: 'POST', headers: { 'content-type': 'application/json' } }
    const created = await server.fetch('/v1/uploads', { ...init, body: JSON.stringify(about) })
    const { id } = Upload.parse(await created.json())
    for (const content of ['world', 'hello']) {
      const form = new FormData()
      form.set('data', new Blob([content]))
      await server.fetch(`/v1/uploads/${id}/parts`, { method: 'POST', body: form })
    }
    for (const method of ['HEAD', 'PATCH', 'DELETE']) {
      const headers = { ...offsetBytes, 'upload-offset': '10' }
      expect((await ask(server, method, `/v1/tus/${id}`, headers)).status).toBe(404)
    }
    expect((await retrieve(server, id)).status).toBe('pending')
  })

  it.each([
    ['a wrong checksum', { 'upload-checksum': `sha1 ${Buffer.alloc(20).toString('base64')}` }, 460],
    ['a checksum of a kind unknown', { 'upload-checksum': 'crc AAAA' }, 400],
    ['a body longer than announced', { 'upload-length': '2' }, 413],
  ])('a creation with %s, which takes no room', async (_, headers, status) => {
    const used = await server.usedBytes()
    const all = { ...offsetBytes, ...needed, ...headers }
    expect((await ask(server, 'POST', '/v1/tus', all, Buffer.from('abc'))).status).toBe(status)
    expect(await server.usedBytes()).toBe(used)
  })

  it.each(['HEAD', 'PATCH', 'DELETE'])(
    '%s of another tenant, who cannot disturb',
    async (method) => {
      const other = await server.addTenant()
      const content = randomBytes(3 * partBytes)
      const path = await begin(server, content.length)
      const sent = partBytes + 10 * KiB
      const busy = await sendSome(path, 0, content.length, content.subarray(0, sent))
      await until(async () => (await retrieveParts(path)) === 1)
      const headers: Record<string, string> =
        method === 'PATCH' ? { ...offsetBytes, 'upload-offset': '0' } : {}
      const foreign = await ask(other, method, path, headers)
      const unknown = await ask(other, method, '/v1/tus/upload_none', headers)
      expect([foreign.status, unknown.status]).toEqual([404, 404])
      busy.write(content.subarray(sent))
      expect((await busy.head()).status).toBe(204)
    },
  )
})

describe('tus-js-client', () => {
  /** Passes bytes on to the server, and breaks each connection after so many from the client. */
  async function startBreakingDoor(cuts: number[]) {
    const door = createServer((client) => {
      const cut = cuts.shift() ?? Number.POSITIVE_INFINITY
      let passed = 0
      void server.connect().then(({ socket }) => {
        client.on('data', (piece: Buffer) => {
          passed += piece.length
          socket.write(piece)
          if (passed > cut) client.resetAndDestroy()
        })
        socket.on('data', (piece: Buffer) => client.write(piece))
        // To the server comes all that came from the client before the break.
        client.on('close', () => socket.end())
        socket.on('close', () => client.destroy())
        for (const end of [client, socket]) end.on('error', () => {})
      })
    })
    door.listen(0, '127.0.0.1')
    await once(door, 'listening')
    const address = door.address()
    if (address === null || typeof address === 'string') throw new Error('No port.')
    return {
      url: `http://127.0.0.1:${address.port}`,
      [Symbol.asyncDispose]: async () => {
        door.close()
        await once(door, 'close')
      },
    }
  }

  function upload(content: Buffer, options: UploadOptions): Promise<string | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    new TusUpload(content, {
      headers: { authorization: `Bearer ${server.apiKey}` },
      metadata: { filename: 'big.bin', purpose: 'user_data' },
      retryDelays: [0, 0, 0, 0, 0],
      onSuccess: ({ lastResponse }) => resolve(lastResponse.getHeader('Coffer-File-Id')),
      onError: reject,
      ...options,
    }).start()
    return promise
  }

  it('uploads a file', async () => {
    const content = randomBytes(5 * partBytes + 1)
    const id = await upload(content, { endpoint: `${server.url}/v1/tus` })
    expect((await contentOf(server, id ?? '')).equals(content)).toBe(true)
    const file = File.parse(await (await server.fetch(`/v1/files/${id}`)).json())
    expect(file).toMatchObject({ filename: 'big.bin', bytes: content.length })
  })

  it('goes on where its connection was cut, again and again', async () => {
    const content = randomBytes(12 * partBytes)
    const cuts = [2, 3, 1].map((parts) => parts * partBytes + 5 * KiB)
    await using door = await startBreakingDoor(cuts)
    const offsets: number[] = []
    const id = await upload(content, {
      endpoint: `${door.url}/v1/tus`,
      uploadDataDuringCreation: false,
      onBeforeRequest: (request) => {
        const offset = request.getHeader('Upload-Offset')
        if (offset !== undefined) offsets.push(Number(offset))
      },
    })
    expect(cuts).toEqual([])
    expect(offsets[0]).toBe(0)
    // Each went on behind what had come, and none from the beginning.
    expect(offsets.slice(1).every((offset) => offset > 0)).toBe(true)
    expect((await contentOf(server, id ?? '')).equals(content)).toBe(true)
  })

  it('goes on in another process, which knows the URL', async () => {
    const content = randomBytes(6 * partBytes)
    await using door = await startBreakingDoor([3 * partBytes])
    let uploadUrl: string | null = null
    const broken = new Promise((resolve) => {
      const first = new TusUpload(content, {
        endpoint: `${door.url}/v1/tus`,
        headers: { authorization: `Bearer ${server.apiKey}` },
        metadata: { filename: 'big.bin', purpose: 'user_data' },
        retryDelays: null,
        onUploadUrlAvailable: () => {
          uploadUrl = first.url
        },
        onError: resolve,
      })
      first.start()
    })
    expect(await broken).toBeInstanceOf(Error)
    expect(uploadUrl).not.toBeNull()
    const id = await upload(content, { uploadUrl })
    expect((await contentOf(server, id ?? '')).equals(content)).toBe(true)
  })
})
