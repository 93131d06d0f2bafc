import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { UploadPurpose } from '@coffer/contract'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { failure, readRefusal, refusal } from './answers.ts'
import { fieldPart, filePart, formBody } from './form-body.ts'
import { onDisk } from './make-stores.ts'
import type { RawConnection } from './raw-connection.ts'
import { type Client, startServer } from './start-server.ts'
import { until } from './until.ts'
import { validFiles } from './valid-content.ts'

const MiB = 1024 * 1024
const server = await startServer()
afterAll(() => server[Symbol.asyncDispose]())

const digits = '0123456789'
/** Not UTF-8, and larger than any piece in which content is read or sent. */
const large = randomBytes(3 * MiB + 17)
/** More than the buffers of a connection hold, so that a download waits for its reader. */
const endless = randomBytes(24 * MiB)

function pathOf(id: string): string {
  return `/v1/files/${id}/content`
}

const deleteSegments = 'delete from segments where file_id = ?'

function download(client: Client, id: string, headers: Record<string, string> = {}) {
  return client.fetch(pathOf(id), { headers })
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer())
}

/** The blob that holds the bytes of a file. */
async function blobOf(id: string): Promise<string> {
  const sql = 'select blob_id from segments where file_id = ?'
  const [row] = await server.query<{ blob_id: string }>(sql, id)
  if (row === undefined) throw new Error(`The file ${id} has no bytes.`)
  return row.blob_id
}

/** Asks for a file as the last thing on a connection, and reads no more than the answer's head. */
async function beginDownload(client: Client, id: string): Promise<RawConnection> {
  const connection = await server.connect()
  connection.write(getOf(client, id, 'Connection: close'))
  expect(await connection.head()).toMatchObject({ status: 200 })
  connection.socket.pause()
  return connection
}

function getOf({ apiKey }: Client, id: string, ...headers: string[]): string {
  const lines = [`GET ${pathOf(id)} HTTP/1.1`, 'Host: coffer', `Authorization: Bearer ${apiKey}`]
  return [...lines, ...headers, '', ''].join('\r\n')
}

describe('GET /v1/files/ID/content', () => {
  it('answers the whole content with all that a client should know of it', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(digits, { purpose: 'user_data' }, 'digits.txt')
    const response = await download(client, id)
    expect(response.status).toBe(200)
    expect(await response.text()).toBe(digits)
    const { date, 'x-request-id': _, ...headers } = Object.fromEntries(response.headers)
    expect(date).toBeDefined()
    expect(headers).toEqual({
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-store',
      connection: 'keep-alive',
      'content-disposition': 'attachment; filename="digits.txt"',
      'content-length': '10',
      'content-security-policy': 'sandbox',
      'content-type': 'application/octet-stream',
      'cross-origin-resource-policy': 'same-origin',
      etag: '"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"',
      'keep-alive': 'timeout=60',
      vary: 'accept',
      'x-content-type-options': 'nosniff',
    })
  })

  it('answers the same for every purpose', async () => {
    const client = await server.addTenant()
    for (const purpose of UploadPurpose.options) {
      const { id } = await client.createFor(purpose)
      expect(await bytesOf(await download(client, id))).toEqual(validFiles[purpose].content)
    }
  })

  it('answers content of many pieces', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    expect((await bytesOf(await download(client, id))).equals(large)).toBe(true)
  })

  it('answers a file without any bytes', async () => {
    const client = await server.addTenant()
    const { id } = await client.create('')
    const response = await download(client, id)
    expect(response.headers.get('content-length')).toBe('0')
    expect(await response.text()).toBe('')
  })

  it('leaves the connection ready for the next request', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    const connection = await server.connect()
    connection.write(getOf(client, id), getOf(client, id))
    for (const answer of [await connection.answer(), await connection.answer()]) {
      expect((await bytesOf(answer)).equals(large)).toBe(true)
    }
  })

  it('refuses the purposes that the vendor refuses, in its profile', async () => {
    await using strict = await startServer({ settings: { COFFER_PROFILE: 'openai' } })
    for (const purpose of ['assistants', 'user_data'] as const) {
      const { id } = await strict.createFor(purpose)
      expect(await readRefusal(await download(strict, id))).toEqual(
        refusal(400, `Not allowed to download files of purpose: ${purpose}`),
      )
    }
    for (const purpose of ['batch', 'fine-tune', 'vision', 'evals'] as const) {
      const { id } = await strict.createFor(purpose)
      expect(await bytesOf(await download(strict, id))).toEqual(validFiles[purpose].content)
    }
  })
})

describe('HEAD of a content', () => {
  it('answers the headers of GET without a body', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    const connection = await server.connect()
    connection.write(getOf(client, id), getOf(client, id).replace('GET', 'HEAD'))
    const get = await connection.answer()
    const head = await connection.head()
    expect(head.status).toBe(200)
    expect(Object.fromEntries(head.headers)).toEqual({
      ...Object.fromEntries(get.headers),
      date: expect.any(String),
      'x-request-id': expect.any(String),
    })
    connection.socket.end()
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
  })

  it('knows no ranges', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(digits)
    const headers = { range: 'bytes=0-1' }
    const head = await client.fetch(pathOf(id), { method: 'HEAD', headers })
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe('10')
  })

  it('answers 404 for a file that is not there', async () => {
    const response = await server.fetch(pathOf('file-none'), { method: 'HEAD' })
    expect(response.status).toBe(404)
  })
})

describe('the ETag', () => {
  it('is the same for the same content and no other', async () => {
    const client = await server.addTenant()
    const tags: (string | null)[] = []
    for (const content of ['same', 'same', 'other']) {
      const { id } = await client.create(content)
      tags.push((await download(client, id)).headers.get('etag'))
    }
    expect(tags[0]).toBe(tags[1])
    expect(tags[0]).not.toBe(tags[2])
  })

  it.each([
    ['alone', (etag: string) => etag],
    ['in a list', (etag: string) => `"other", ${etag}, W/"third"`],
    ['as a weak one', (etag: string) => `W/${etag}`],
    ['as any', () => '*'],
  ])('answers 304 without content to If-None-Match with it %s', async (_, condition) => {
    const client = await server.addTenant()
    const { id } = await client.create(digits)
    const etag = (await download(client, id)).headers.get('etag') ?? ''
    const response = await download(client, id, { 'if-none-match': condition(etag) })
    expect(response.status).toBe(304)
    expect(response.headers.get('etag')).toBe(etag)
    expect(await response.text()).toBe('')
  })

  it.each(['"other"', '"other", W/"third"', '', 'nonsense'])(
    'answers the content to If-None-Match with %s',
    async (condition) => {
      const client = await server.addTenant()
      const { id } = await client.create(digits)
      const response = await download(client, id, { 'if-none-match': condition })
      expect(response.status).toBe(200)
      expect(await response.text()).toBe(digits)
    },
  )

  it('comes before the range', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(digits)
    const response = await download(client, id, { 'if-none-match': '*', range: 'bytes=0-1' })
    expect(response.status).toBe(304)
  })
})

describe('a range of ten bytes', () => {
  it.each([
    ['bytes=0-3', '0123', '0-3'],
    ['bytes=4-6', '456', '4-6'],
    ['bytes=9-9', '9', '9-9'],
    ['bytes=7-', '789', '7-9'],
    ['bytes=0-', digits, '0-9'],
    ['bytes=-3', '789', '7-9'],
    ['bytes=-10', digits, '0-9'],
    ['bytes=-1000', digits, '0-9'],
    ['bytes=8-1000', '89', '8-9'],
    ['bytes=0-99999999999999999999', digits, '0-9'],
    ['Bytes=1-2', '12', '1-2'],
  ])('%s is answered 206', async (range, content, place) => {
    const client = await server.addTenant()
    const { id } = await client.create(digits)
    const response = await download(client, id, { range })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${place}/10`)
    expect(response.headers.get('content-length')).toBe(String(content.length))
    expect(await response.text()).toBe(content)
  })

  it.each(['bytes=10-', 'bytes=10-20', 'bytes=99999999999999999999-', 'bytes=-0'])(
    '%s is answered 416',
    async (range) => {
      const client = await server.addTenant()
      const { id } = await client.create(digits)
      const response = await download(client, id, { range })
      expect(response.headers.get('content-range')).toBe('bytes */10')
      expect(await readRefusal(response)).toEqual(
        refusal(416, 'The requested range lies outside of the file, which has 10 bytes.', {
          code: 'range_not_satisfiable',
        }),
      )
    },
  )

  it.each([
    'bytes=5-4',
    'bytes=-',
    'bytes=a-b',
    'bytes=1-2x',
    'bytes 1-2',
    'bytes=',
    'bytes=--1',
    'bytes=0x1-2',
    'bytes=0-1,3-4',
    'bytes=0-1,',
    'items=0-1',
    'items=100-200',
    'nonsense',
  ])('%s is ignored', async (range) => {
    const client = await server.addTenant()
    const { id } = await client.create(digits)
    const response = await download(client, id, { range })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-range')).toBeNull()
    expect(await response.text()).toBe(digits)
  })

  it('is answered if If-Range has the ETag, and the whole if it has not', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(digits)
    const etag = (await download(client, id)).headers.get('etag') ?? ''
    const range = 'bytes=2-3'
    expect(await (await download(client, id, { range, 'if-range': etag })).text()).toBe('23')
    for (const other of ['"other"', `W/${etag}`, 'Wed, 21 Oct 2026 07:28:00 GMT']) {
      const response = await download(client, id, { range, 'if-range': other })
      expect(response.status).toBe(200)
      expect(await response.text()).toBe(digits)
    }
  })
})

describe('a range of many pieces', () => {
  it('is the slice of the content, whatever its ends', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    const place = fc.oneof(
      fc.nat(large.length - 1),
      // Where pieces meet.
      fc.tuple(fc.nat(5), fc.integer({ min: -1, max: 1 })).map(([at, by]) => (at * MiB) / 2 + by),
    )
    const ends = fc
      .tuple(place, place)
      .map(([one, other]) => [Math.max(0, Math.min(one, other)), Math.max(0, one, other)] as const)
    await fc.assert(
      fc.asyncProperty(ends, async ([first, last]) => {
        const response = await download(client, id, { range: `bytes=${first}-${last}` })
        expect(response.status).toBe(206)
        const wanted = large.subarray(first, last + 1)
        expect((await bytesOf(response)).equals(wanted)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })
})

describe('the content type', () => {
  const text = 'né 中 😀'
  const cut = Buffer.from(text).subarray(0, -1)

  it.each(['application/binary', '*/*', 'application/json, text/plain', 'text/plain', ''])(
    "is bytes for the Accept '%s'",
    async (accept) => {
      const client = await server.addTenant()
      const { id } = await client.create(text)
      const response = await download(client, id, { accept })
      expect(response.headers.get('content-type')).toBe('application/octet-stream')
    },
  )

  it.each([
    ['UTF-8', Buffer.from(text), 'utf-8'],
    ['nothing', Buffer.from(''), 'utf-8'],
    ['half a character', cut, 'latin-1'],
    ['all bytes', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), 'latin-1'],
  ])('is text for a client that can read only that, of %s', async (_, content, charset) => {
    const client = await server.addTenant()
    const { id } = await client.create(new Uint8Array(content))
    const response = await download(client, id, { accept: 'application/json' })
    expect(response.headers.get('content-type')).toBe(`text/plain; charset=${charset}`)
    expect((await bytesOf(response)).equals(content)).toBe(true)
  })

  it('is that of the whole content for a range of it', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(new Uint8Array(cut))
    const headers = { accept: 'application/json', range: 'bytes=0-0' }
    const response = await download(client, id, headers)
    expect(response.headers.get('content-type')).toBe('text/plain; charset=latin-1')
  })
})

describe('the name of a download', () => {
  it.each([
    ['plain.txt', 'filename="plain.txt"'],
    ['two words.txt', 'filename="two words.txt"'],
    ['say "hi".txt', String.raw`filename="say \"hi\".txt"`],
    ['a;b=c.txt', 'filename="a;b=c.txt"'],
    ['100%.txt', `filename="100%.txt"; filename*=UTF-8''100%25.txt`],
    ['%41.txt', `filename="%41.txt"; filename*=UTF-8''%2541.txt`],
    ["it's (1)*.txt", `filename="it's (1)*.txt"`],
    ['né.txt', `filename="n?.txt"; filename*=UTF-8''n%C3%A9.txt`],
    ["é'(1)*.txt", `filename="?'(1)*.txt"; filename*=UTF-8''%C3%A9%27%281%29%2A.txt`],
    ['😀.txt', `filename="?.txt"; filename*=UTF-8''%F0%9F%98%80.txt`],
    ['\u202Egpj.exe', `filename="?gpj.exe"; filename*=UTF-8''%E2%80%AEgpj.exe`],
  ])('%s is written so that every client can read it', async (name, written) => {
    const client = await server.addTenant()
    const { id, filename } = await createNamed(client, name)
    expect(filename).toBe(name)
    const response = await download(client, id)
    expect(response.headers.get('content-disposition')).toBe(`attachment; ${written}`)
  })

  it('is the name of the file again, whatever it is', async () => {
    const client = await server.addTenant()
    const names = fc
      .string({ unit: fc.constantFrom(...'ab."%;=\'()*~ é中😀\u202E\u00A0'), minLength: 1 })
      .filter((name) => !['.', '..'].includes(name))
    await fc.assert(
      fc.asyncProperty(names, async (name) => {
        const { id } = await createNamed(client, name)
        const response = await download(client, id)
        expect(readName(response.headers.get('content-disposition') ?? '')).toBe(name)
      }),
      { numRuns: 60 },
    )
  })
})

/** Names the file in the extended form, in which nothing is escaped twice. */
async function createNamed(
  client: Client,
  name: string,
): Promise<{ id: string; filename: string }> {
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16)}`,
  )
  const part = filePart('content', `; filename*=UTF-8''${encoded}`)
  const response = await client.fetch('/v1/files', {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=cut-here' },
    body: formBody('cut-here', [part, fieldPart('purpose', 'user_data')]),
  })
  return (await response.json()) as { id: string; filename: string }
}

/** As RFC 6266 reads it: the extended form where there is one. */
function readName(disposition: string): string {
  const [, plain = '', extended] =
    /^attachment; filename="((?:[^"\\]|\\.)*)"(?:; filename\*=UTF-8''(\S+))?$/.exec(disposition) ??
    []
  return extended === undefined ? plain.replace(/\\(.)/g, '$1') : decodeURIComponent(extended)
}

describe('a download under way', () => {
  it('ends with the right bytes when its file is deleted meanwhile', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(endless)
    const blob = await blobOf(id)
    const connection = await beginDownload(client, id)
    const response = await client.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    expect(response.status).toBe(200)
    await until(async () => !(await server.stored()).blobs.includes(blob))
    connection.socket.resume()
    expect((await connection.closed()).equals(endless)).toBe(true)
  })

  it('is cut, and nothing else sent, when the client goes on with what is no request', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(endless)
    const connection = await beginDownload(client, id)
    const refused = server.logged('a request is not valid HTTP')
    connection.write('nonsense\r\n\r\n')
    await refused
    connection.socket.resume()
    const received = await connection.closed()
    expect(received.length).toBeLessThan(endless.length)
    expect(received.equals(endless.subarray(0, received.length))).toBe(true)
  })

  const departures: [string, (client: Client, id: string) => Promise<unknown>][] = [
    [
      'breaks the connection before the first byte',
      async (client, id) => {
        const { socket, write } = await server.connect()
        write(getOf(client, id))
        socket.resetAndDestroy()
      },
    ],
    [
      'breaks it while it does not read',
      async (client, id) => (await beginDownload(client, id)).socket.resetAndDestroy(),
    ],
    [
      'ends it before the first byte',
      async (client, id) => {
        const { socket, write } = await server.connect()
        write(getOf(client, id))
        socket.end()
      },
    ],
    [
      'ends it while it does not read',
      async (client, id) => (await beginDownload(client, id)).socket.end().resume(),
    ],
    [
      'ends it while it reads',
      async (client, id) => {
        const { socket } = await beginDownload(client, id)
        socket.resume()
        await once(socket, 'data')
        socket.end()
      },
    ],
  ]

  it.each(departures)('lets go of the file when the client %s', async (_, leave) => {
    const client = await server.addTenant()
    const { id } = await client.create(endless)
    const blob = await blobOf(id)
    for (let round = 0; round < 5; round += 1) {
      const left = server.logged('the client left before it had the whole content')
      await leave(client, id)
      expect(await left).toMatchObject({ level: 30 })
    }
    await until(async () => (await server.stores.timesRead(blob)) === 0)
    expect(server.logs.filter((line) => Number(line['level']) > 30)).toEqual([])
  })

  it('reads its file only when it is its turn', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(endless)
    const blob = await blobOf(id)
    const connection = await server.connect()
    connection.write(getOf(client, id).repeat(3))
    await connection.head()
    connection.socket.pause()
    // By the answer to a later request the server has come to these.
    await client.list()
    expect(await server.stores.timesRead(blob)).toBe(1)
    connection.socket.resetAndDestroy()
    await until(async () => (await server.stores.timesRead(blob)) === 0)
  })

  it('of a file that is being deleted is whole or refused', async () => {
    const client = await server.addTenant()
    const [readers, deleter] = [await server.connect(), await server.connect()]
    for (let round = 0; round < 4; round += 1) {
      const { id } = await client.create(digits)
      const deletion = getOf(client, id).replace('GET', 'DELETE').replace('/content', '')
      // So many at once that the bytes go while some of them have only the row.
      const requests = Array.from({ length: 50 }, () => getOf(client, id))
      deleter.write(deletion)
      readers.write(requests.join(''))
      for (const _ of requests) {
        const response = await readers.answer()
        if (response.status === 200) expect(await response.text()).toBe(digits)
        else expect(await readRefusal(response)).toMatchObject({ status: 404, param: 'id' })
      }
      expect(await deleter.answer()).toMatchObject({ status: 200 })
    }
  })
})

describe('content that the storage has lost', () => {
  it('never ends normally when it is cut short', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    await server.stores.replaceBlob(await blobOf(id), large.subarray(0, 2 * MiB))
    const response = await download(client, id)
    if (!onDisk) {
      // S3 tells with the first byte how many there are.
      expect(await readRefusal(response)).toMatchObject({ status: 500 })
      return
    }
    expect(response.status).toBe(200)
    await expect(response.arrayBuffer()).rejects.toThrow('terminated')
    const received = await bytesUntilCut(client, id)
    expect(received.length).toBeLessThan(large.length)
    expect(received.equals(large.subarray(0, received.length))).toBe(true)
  })

  it('is read as far as it is there', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    await server.stores.replaceBlob(await blobOf(id), large.subarray(0, 2 * MiB))
    const response = await download(client, id, { range: `bytes=0-${2 * MiB - 1}` })
    expect((await bytesOf(response)).equals(large.subarray(0, 2 * MiB))).toBe(true)
  })

  it('is answered 500 if not even its first byte can be read, and the file tells', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    await server.stores.replaceBlob(await blobOf(id), large.subarray(0, 2 * MiB))
    const response = await download(client, id, { range: `bytes=${2 * MiB}-` })
    expect(response.headers.get('content-disposition')).toBeNull()
    expect(response.headers.get('x-should-retry')).toBe('false')
    expect(await readRefusal(response)).toEqual({
      ...failure(
        500,
        'The content of this file is damaged or missing in the storage, so it is not given out.',
      ),
      code: 'file_content_unavailable',
    })
    expect(await (await client.fetch(`/v1/files/${id}`)).json()).toMatchObject({
      status: 'error',
      status_details: 'The content is damaged or missing in the storage.',
    })
  })

  it('is cut before the first damaged byte, and given where it is whole', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    const at = Math.floor(large.length / 2)
    const damaged = large.with(at, (large[at] ?? 0) ^ 1)
    await server.stores.replaceBlob(await blobOf(id), damaged)
    const failures = await countOf('coffer_blob_integrity_failures_total')

    const received = await bytesUntilCut(client, id)
    expect(received.length).toBeLessThanOrEqual(at)
    expect(received.equals(large.subarray(0, received.length))).toBe(true)
    const refused = await download(client, id, { range: `bytes=${at}-${at}` })
    expect(await readRefusal(refused)).toMatchObject({
      status: 500,
      code: 'file_content_unavailable',
    })
    const whole = await download(client, id, { range: 'bytes=0-99' })
    expect((await bytesOf(whole)).equals(large.subarray(0, 100))).toBe(true)

    expect(await countOf('coffer_blob_integrity_failures_total')).toBe(failures + 2)
    expect(server.logs).toContainEqual(
      expect.objectContaining({ file: id, msg: 'the content of a file is damaged or missing' }),
    )
  })

  it.each([
    ['it is gone altogether', async (id: string) => server.stores.removeBlob(await blobOf(id))],
    ['no row says where it is', (id: string) => server.query(deleteSegments, id)],
  ])('is answered 500 if %s, and the file tells', async (_, lose) => {
    const client = await server.addTenant()
    const { id } = await client.create(large)
    await lose(id)
    const response = await download(client, id)
    expect(response.headers.get('content-disposition')).toBeNull()
    expect(response.headers.get('x-should-retry')).toBe('false')
    expect(await readRefusal(response)).toMatchObject({
      status: 500,
      code: 'file_content_unavailable',
    })
    expect(await (await client.fetch(`/v1/files/${id}`)).json()).toMatchObject({ status: 'error' })
  })
})

/** A counter as operators read it. */
async function countOf(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const [, value] = new RegExp(`^${name} (\\d+)$`, 'm').exec(text) ?? []
  return Number(value)
}

async function bytesUntilCut(client: Client, id: string): Promise<Buffer> {
  const connection = await server.connect()
  connection.write(getOf(client, id))
  await connection.head()
  return connection.closed()
}
