import { once } from 'node:events'
import { Upload, UploadPart } from '@coffer/contract'
import { afterAll, describe, expect, it } from 'vitest'
import { type Refusal, readRefusal, refusal } from './answers.ts'
import { chunked, createHead, fieldPart, filePart, formBody } from './form-body.ts'
import { type Client, startServer } from './start-server.ts'

const MiB = 1024 * 1024
const quota = 1_000_000
const server = await startServer({
  settings: {
    COFFER_MAX_FILE_BYTES: String(MiB),
    COFFER_ORGANIZATION_QUOTA_BYTES: String(quota),
  },
})
afterAll(() => server[Symbol.asyncDispose]())

/** Here the size of a file is reached before the quota is. */
const roomy = await startServer({ settings: { COFFER_MAX_FILE_BYTES: String(MiB) } })
afterAll(() => roomy[Symbol.asyncDispose]())

const multipart = 'Content-Type: multipart/form-data; boundary=cut-here'
const purpose = fieldPart('purpose', 'user_data')
const wrongKey = 'sk-wrong-0123456789'

const keyRefused = refusal(401, 'Incorrect API key provided: sk-wrong*******6789.', {
  code: 'invalid_api_key',
})
const tooLarge = refusal(413, 'File is too large. A file may have at most 1048576 bytes (1 MiB).')
const overQuota = refusal(
  400,
  'You have exceeded your file storage quota. Organizations are limited to 1 MB of files. ' +
    'Please delete old files or attempt with a smaller file size.',
)

/** Sends the head of a request only, and gives what it is answered. */
async function refusalOfHead(head: string): Promise<Refusal> {
  const connection = await server.connect()
  connection.write(head)
  return readRefusal(await connection.answer())
}

describe('a client that is still sending 64 MiB', () => {
  const body = new Blob([formBody('cut-here', [purpose, filePart(new Uint8Array(64 * MiB))])])
  const framings = {
    'its length': () => ({ body }),
    chunks: () => ({ body: body.stream(), duplex: 'half' as const }),
  }
  const refusals = {
    'a wrong key': { key: wrongKey, seen: keyRefused },
    'too large a file': { key: roomy.apiKey, seen: tooLarge },
  }

  it.each([
    ['its length', 'a wrong key'],
    ['its length', 'too large a file'],
    ['chunks', 'a wrong key'],
    ['chunks', 'too large a file'],
  ] as const)('with %s sees each time that it is refused for %s', async (framing, fault) => {
    const { key, seen } = refusals[fault]
    const before = await roomy.stored()
    for (let round = 0; round < 10; round += 1) {
      const response = await roomy.fetch('/v1/files', {
        ...framings[framing](),
        method: 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'multipart/form-data; boundary=cut-here',
        },
      })
      expect(await readRefusal(response)).toEqual(seen)
    }
    expect(await roomy.stored()).toEqual(before)
  })
})

describe('the connection of a refused upload', () => {
  it('serves the next request once the body came to its end', async () => {
    const connection = await server.connect()
    const body = new Uint8Array(4 * MiB)
    connection.write(createHead(wrongKey, multipart, `Content-Length: ${body.length}`), body)
    connection.write('GET /healthz HTTP/1.1\r\nHost: coffer\r\n\r\n')
    expect((await connection.answer()).status).toBe(401)
    expect((await connection.answer()).status).toBe(200)
  })

  it('is closed soon if the body does not come to its end', async () => {
    const connection = await server.connect()
    connection.write(createHead(wrongKey, multipart, 'Content-Length: 1000'), 'x')
    expect((await connection.answer()).status).toBe(401)
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
  })

  it('is closed if the body goes on and on', async () => {
    const connection = await server.connect()
    connection.write(createHead(wrongKey, multipart, `Content-Length: ${1000 * MiB}`))
    expect((await connection.answer()).status).toBe(401)
    const piece = new Uint8Array(MiB)
    while (!connection.socket.destroyed) {
      if (!connection.socket.write(piece)) await once(connection.socket, 'drain').catch(() => {})
    }
    expect(connection.socket.bytesWritten).toBeLessThan(64 * MiB)
  })
})

describe('Expect: 100-continue', () => {
  const expectation = 'Expect: 100-continue'
  const body = formBody('cut-here', [purpose, filePart()])
  const length = `Content-Length: ${body.length}`

  it('is answered 100, and after the body 200', async () => {
    const connection = await server.connect()
    connection.write(createHead((await server.addTenant()).apiKey, multipart, length, expectation))
    expect(await connection.head()).toMatchObject({ status: 100 })
    connection.write(body)
    expect((await connection.answer()).status).toBe(200)
  })

  it.each([
    ['401 with a wrong key', createHead(wrongKey, multipart, length), keyRefused],
    [
      '413 with too large a body',
      createHead(server.apiKey, multipart, `Content-Length: ${2 * MiB}`),
      tooLarge,
    ],
    [
      '400 with a body beyond the quota',
      createHead(server.apiKey, multipart, `Content-Length: ${quota + 65_537}`),
      overQuota,
    ],
    [
      '415 with another type',
      createHead(server.apiKey, 'Content-Type: application/json', length),
      { status: 415 },
    ],
  ])('is answered %s, and nothing before it', async (_, head, seen) => {
    const refused = await refusalOfHead(head.replace(/\r\n$/, `${expectation}\r\n\r\n`))
    expect(refused).toMatchObject(seen)
  })
})

describe('a body that says its length', () => {
  it.each([
    ['the largest file', 512 * MiB, '512 MiB', {}],
    ['a file as large as is set', 1000, '1000 bytes', { COFFER_MAX_FILE_BYTES: '1000' }],
  ])('is refused at once if it exceeds %s and its form', async (_, most, readable, settings) => {
    await using other = await startServer({ settings })
    const connection = await other.connect()
    const length = most + 64 * 1024
    const head = createHead(other.apiKey, multipart, 'Expect: 100-continue')
    connection.write(head.replace(/\r\n$/, `Content-Length: ${length + 1}\r\n\r\n`))
    expect(await readRefusal(await connection.answer())).toEqual(
      refusal(413, `File is too large. A file may have at most ${most} bytes (${readable}).`),
    )
    const welcome = await other.connect()
    welcome.write(head.replace(/\r\n$/, `Content-Length: ${length}\r\n\r\n`))
    expect(await welcome.head()).toMatchObject({ status: 100 })
  })

  it('is refused at once if the 100 GB of an organization cannot hold it', async () => {
    await using large = await startServer({ settings: { COFFER_MAX_FILE_BYTES: '200000000000' } })
    await large.create('content')
    const length = 100_000_000_000 - 'content'.length + 64 * 1024
    const head = createHead(large.apiKey, multipart, 'Expect: 100-continue')
    const connection = await large.connect()
    connection.write(head.replace(/\r\n$/, `Content-Length: ${length + 1}\r\n\r\n`))
    expect(await readRefusal(await connection.answer())).toEqual(
      refusal(
        400,
        'You have exceeded your file storage quota. Organizations are limited to 100 GB of ' +
          'files. Please delete old files or attempt with a smaller file size.',
      ),
    )
    const welcome = await large.connect()
    welcome.write(head.replace(/\r\n$/, `Content-Length: ${length}\r\n\r\n`))
    expect(await welcome.head()).toMatchObject({ status: 100 })
  })
})

describe('a body that does not say its length', () => {
  const begin = formBody('cut-here', [purpose, filePart(new Uint8Array(MiB))])
  /** Of a file of the most bytes, as the boundary may still come. */
  const most = begin.subarray(0, begin.lastIndexOf('\r\n--cut-here--'))

  it('is refused at the first byte over the limit', async () => {
    const before = await roomy.stored()
    const connection = await roomy.connect()
    connection.write(
      createHead((await roomy.addTenant()).apiKey, multipart, 'Transfer-Encoding: chunked'),
    )
    connection.write(`${most.length.toString(16)}\r\n`, most, '\r\n')
    connection.write('1\r\nx\r\n')
    expect(await readRefusal(await connection.answer())).toEqual(tooLarge)
    expect(await roomy.stored()).toEqual(before)
  })
})

describe('a body without a length, of an organization that has little room left', () => {
  it('is refused at the first byte over it, while the client still sends', async () => {
    const client = await server.addTenant()
    await client.create(Buffer.alloc(500_000))
    await client.create(Buffer.alloc(quota - 600_000))
    const before = await server.stored()
    const connection = await server.connect()
    connection.write(createHead(client.apiKey, multipart, 'Transfer-Encoding: chunked'))
    const begin = formBody('cut-here', [purpose, filePart(new Uint8Array(100_001))])
    const most = begin.subarray(0, begin.lastIndexOf('\r\n--cut-here--'))
    connection.write(`${most.length.toString(16)}\r\n`, most, '\r\n')
    expect(await readRefusal(await connection.answer())).toEqual(overQuota)
    expect(await server.stored()).toEqual(before)
    expect((await client.create(Buffer.alloc(100_000))).bytes).toBe(100_000)
  })
})

describe('a form whose beginning is wrong', () => {
  it.each([
    [
      'purpose',
      [fieldPart('purpose', 'nonsense'), filePart('')],
      "'nonsense' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - 'purpose'",
    ],
    [
      'name',
      [fieldPart('purpose', 'batch'), filePart('', '; filename="a.txt"')],
      'Invalid file format for Batch API. Must be .jsonl',
    ],
    [
      'field',
      [fieldPart('model', 'x'), filePart('')],
      "Additional properties are not allowed ('model' was unexpected)",
    ],
  ])('is refused for its %s before its file comes', async (_, parts, message) => {
    const connection = await server.connect()
    const body = formBody('cut-here', parts)
    connection.write(
      createHead((await server.addTenant()).apiKey, multipart, `Content-Length: ${MiB}`),
    )
    connection.write(body.subarray(0, body.lastIndexOf('\r\n--cut-here--')))
    expect(await readRefusal(await connection.answer())).toMatchObject({ status: 400, message })
  })
})

describe('the quota', () => {
  const tenth = new Uint8Array(quota / 10)
  const body = formBody('cut-here', [purpose, filePart(tenth)])

  async function sendChunked({ apiKey }: Client): Promise<Response> {
    const connection = await server.connect()
    const head = createHead(apiKey, multipart, 'Transfer-Encoding: chunked')
    connection.write(head, chunked(body, [16 * 1024]))
    return connection.answer()
  }

  it.each([
    ['tell their length', (client: Client) => client.upload(tenth, { purpose: 'user_data' })],
    ['do not tell their length', sendChunked],
  ])('holds ten tenths of 64 that come together and %s', async (_, send) => {
    const client = await server.addTenant()
    for (let round = 0; round < 2; round += 1) {
      let pending = true
      const uploads = Promise.all(Array.from({ length: 64 }, () => send(client)))
      const answered = uploads.finally(() => {
        pending = false
      })
      while (pending) {
        expect(await client.usedBytes()).toBeLessThanOrEqual(quota)
        await (await client.fetch('/v1/files?limit=1')).text()
      }
      const refused = (await answered).filter((response) => response.status !== 200)
      expect(refused.length).toBe(54)
      for (const response of refused) expect(await readRefusal(response)).toEqual(overQuota)

      expect(await client.usedBytes()).toBe(quota)
      const { data } = await client.list()
      expect(data.length).toBe(10)
      await Promise.all(data.map(({ id }) => client.fetch(`/v1/files/${id}`, { method: 'DELETE' })))
      expect(await client.usedBytes()).toBe(0)
    }
  })

  it('is that of one organization alone', async () => {
    const [full, other] = [await server.addTenant(), await server.addTenant()]
    await full.create(new Uint8Array(quota))
    expect(await readRefusal(await full.upload('x', { purpose: 'user_data' }))).toEqual(overQuota)
    expect(await other.create(new Uint8Array(quota))).toMatchObject({ bytes: quota })
    expect(await full.create('')).toMatchObject({ bytes: 0 })
  })
})

describe('a part of an Upload that cannot take it', () => {
  let now = 1_800_000_000
  const most = 200_000
  const overhead = 64 * 1024

  /** Its clock is turned on for one test, and what the others have begun must not expire. */
  async function startUploads() {
    return startServer({
      clock: { now: () => now },
      settings: { COFFER_MAX_PART_BYTES: String(most) },
    })
  }

  async function ask(client: Client, path: string, body: unknown = {}): Promise<Response> {
    return client.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  async function begin(client: Client, bytes: number): Promise<string> {
    const about = { filename: 'a.bin', purpose: 'user_data', mime_type: 'text/plain' }
    const response = await ask(client, '/v1/uploads', { ...about, bytes })
    return Upload.parse(await response.json()).id
  }

  async function addPart(client: Client, id: string, content: string): Promise<string> {
    const body = new FormData()
    body.set('data', new Blob([content]))
    const response = await client.fetch(`/v1/uploads/${id}/parts`, { method: 'POST', body })
    return UploadPart.parse(await response.json()).id
  }

  function partHead({ apiKey }: Pick<Client, 'apiKey'>, id: string, ...headers: string[]): string {
    return createHead(apiKey, ...headers).replace('/v1/files', `/v1/uploads/${id}/parts`)
  }

  const unable = {
    'that never was': {
      id: async () => 'upload_none',
      refused: (id: string) => ({ status: 404, message: `No such Upload object: ${id}` }),
    },
    'of another tenant': {
      id: (_: Client, other: Client) => begin(other, 10),
      refused: (id: string) => ({ status: 404, message: `No such Upload object: ${id}` }),
    },
    'that is cancelled': {
      async id(client: Client) {
        const id = await begin(client, 10)
        await client.fetch(`/v1/uploads/${id}/cancel`, { method: 'POST' })
        return id
      },
      refused: (id: string) => ({ status: 400, message: `Upload ${id} is cancelled.` }),
    },
    'that is completed': {
      async id(client: Client) {
        const id = await begin(client, 3)
        const part_ids = [await addPart(client, id, 'abc')]
        await ask(client, `/v1/uploads/${id}/complete`, { part_ids })
        return id
      },
      refused: (id: string) => ({ status: 400, message: `Upload ${id} is completed.` }),
    },
    'whose time is over': {
      async id(client: Client) {
        const id = await begin(client, 10)
        now += 3600
        return id
      },
      refused: (id: string) => ({ status: 400, message: `Upload ${id} is expired.` }),
    },
  }

  it.each(Object.entries(unable))(
    '%s is refused before any of it comes',
    async (_, { id, refused }) => {
      await using uploads = await startUploads()
      const [client, other] = [await uploads.addTenant(), await uploads.addTenant()]
      const upload = await id(client, other)
      const before = await uploads.stored()
      // One that tells its length, one that does not, and one that asks first.
      for (const header of [
        'Content-Length: 100',
        'Transfer-Encoding: chunked',
        'Content-Length: 100\r\nExpect: 100-continue',
      ]) {
        const connection = await uploads.connect()
        connection.write(partHead(client, upload, multipart, header))
        expect(await readRefusal(await connection.answer())).toMatchObject({
          ...refused(upload),
          param: 'upload_id',
        })
      }
      expect(await uploads.stored()).toEqual(before)
    },
  )

  it.each([
    {
      title: 'larger than any part',
      bytes: 2 * most,
      least: most + overhead,
      seen: refusal(
        413,
        'Part is too large. A part may have at most 200000 bytes (200000 bytes).',
        {
          param: 'data',
        },
      ),
    },
    {
      title: 'larger than the whole Upload',
      bytes: 1000,
      least: 1000 + overhead,
      seen: refusal(
        400,
        'With this part the Upload would have more bytes than the 1000 that were declared.',
        { param: 'data' },
      ),
    },
  ])(
    'is refused before any of it comes if it says to be $title',
    async ({ bytes, least, seen }) => {
      await using uploads = await startUploads()
      const id = await begin(uploads, bytes)
      for (const expectation of ['', 'Expect: 100-continue\r\n']) {
        const connection = await uploads.connect()
        const head = partHead(uploads, id, multipart, `Content-Length: ${least + 1}`)
        connection.write(head.replace(/\r\n$/, `${expectation}\r\n`))
        expect(await readRefusal(await connection.answer())).toEqual(seen)
      }
      // With all that a form may have around it, it may be small enough.
      const welcome = await uploads.connect()
      const head = partHead(uploads, id, multipart, `Content-Length: ${least}`)
      welcome.write(head.replace(/\r\n$/, 'Expect: 100-continue\r\n\r\n'))
      expect(await welcome.head()).toMatchObject({ status: 100 })
    },
  )

  it.each([
    ['larger than any part', 2 * most, most, 413],
    ['larger than the whole Upload', 1000, 1000, 400],
  ])('is refused at the first byte that makes it %s', async (_, bytes, room, status) => {
    await using uploads = await startUploads()
    const id = await begin(uploads, bytes)
    const before = await uploads.stored()
    const part = {
      headers: ['Content-Disposition: form-data; name="data"; filename="part"'],
      content: new Uint8Array(room),
    }
    const whole = formBody('cut-here', [part])
    const full = whole.subarray(0, whole.lastIndexOf('\r\n--cut-here--'))
    const connection = await uploads.connect()
    connection.write(partHead(uploads, id, multipart, 'Transfer-Encoding: chunked'))
    connection.write(`${full.length.toString(16)}\r\n`, full, '\r\n')
    connection.write('1\r\nx\r\n')
    expect(await readRefusal(await connection.answer())).toMatchObject({ status, param: 'data' })
    expect(await uploads.stored()).toEqual(before)
  })

  it.each([
    ['401 for a wrong key', { apiKey: wrongKey }, multipart, 401],
    ['415 for another type', undefined, 'Content-Type: application/json', 415],
  ])('is answered %s before any of it comes', async (_, client, type, status) => {
    await using uploads = await startUploads()
    const id = await begin(uploads, 10)
    const connection = await uploads.connect()
    connection.write(partHead(client ?? uploads, id, type, 'Content-Length: 100'))
    expect(await readRefusal(await connection.answer())).toMatchObject({ status })
  })
})
