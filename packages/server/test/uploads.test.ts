import { createHash, randomBytes } from 'node:crypto'
import { File, Upload, UploadPart, UploadPartPage } from '@coffer/contract'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal } from './answers.ts'
import { type Client, startServer } from './start-server.ts'
import { until } from './until.ts'

const KiB = 1024
let now = 1_800_000_000
const partBytes = 128 * KiB
const quota = 4 * KiB * KiB
const server = await startServer({
  clock: { now: () => now },
  settings: {
    COFFER_MAX_UPLOAD_BYTES: String(1024 * KiB),
    COFFER_MAX_PART_BYTES: String(partBytes),
    COFFER_ORGANIZATION_QUOTA_BYTES: String(quota),
    COFFER_SWEEP_SECONDS: '1',
  },
})
afterAll(() => server[Symbol.asyncDispose]())

const standard = { filename: 'notes.txt', purpose: 'user_data', mime_type: 'text/plain' }

function ask(client: Client, path: string, body?: unknown): Promise<Response> {
  const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return client.fetch(`/v1/uploads${path}`, {
    method: 'POST',
    ...(body === undefined ? {} : json),
  })
}

async function begin(client: Client, bytes: number, differences = {}): Promise<Upload> {
  const response = await ask(client, '', { ...standard, bytes, ...differences })
  expect(response.status).toBe(200)
  return Upload.parse(await response.json())
}

function send(
  client: Client,
  id: string,
  content: Uint8Array<ArrayBuffer> | string,
  fields: Record<string, string> = {},
): Promise<Response> {
  const form = new FormData()
  form.set('data', new Blob([content]))
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  return client.fetch(`/v1/uploads/${id}/parts`, { method: 'POST', body: form })
}

async function add(
  client: Client,
  id: string,
  content: Uint8Array<ArrayBuffer> | string,
): Promise<UploadPart> {
  const response = await send(client, id, content)
  expect(response.status).toBe(200)
  return UploadPart.parse(await response.json())
}

function complete(client: Client, id: string, part_ids: string[], md5?: string): Promise<Response> {
  return ask(client, `/${id}/complete`, { part_ids, ...(md5 === undefined ? {} : { md5 }) })
}

async function completed(
  client: Client,
  id: string,
  part_ids: string[],
  md5?: string,
): Promise<File> {
  const response = await complete(client, id, part_ids, md5)
  expect(response.status).toBe(200)
  const upload = Upload.parse(await response.json())
  expect(upload.status).toBe('completed')
  return File.parse(upload.file)
}

async function contentOf(client: Client, id: string, range?: string): Promise<Buffer> {
  const headers = range === undefined ? {} : { range }
  const response = await client.fetch(`/v1/files/${id}/content`, { headers })
  expect(response.ok).toBe(true)
  return Buffer.from(await response.arrayBuffer())
}

const md5Of = (content: Uint8Array) => createHash('md5').update(content).digest()
const sha256Of = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')

describe('an Upload', () => {
  it('is pending at first, with the keys of the vendor', async () => {
    const client = await server.addTenant()
    const upload = await begin(client, 10)
    expect(upload).toEqual({
      id: expect.stringMatching(/^upload_[1-9A-HJ-NP-Za-km-z]{22}$/),
      object: 'upload',
      bytes: 10,
      created_at: now,
      filename: 'notes.txt',
      purpose: 'user_data',
      status: 'pending',
      expires_at: now + 3600,
      file: null,
    })
    const response = await client.fetch(`/v1/uploads/${upload.id}`)
    expect(await response.json()).toEqual(upload)
    expect(await client.list()).toMatchObject({ data: [] })
  })

  it('becomes a file of the parts in the order of their ids, whatever order they came in', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 6, { filename: 'dir/abc.txt' })
    const last = await add(client, id, 'ef')
    const [first, middle] = await Promise.all([add(client, id, 'ab'), add(client, id, 'cd')])
    expect(first).toMatchObject({ upload_id: id, bytes: 2, object: 'upload.part', created_at: now })
    const file = await completed(client, id, [first.id, middle.id, last.id])
    expect(file).toMatchObject({ filename: 'abc.txt', bytes: 6, purpose: 'user_data' })
    expect(String(await contentOf(client, file.id))).toBe('abcdef')
    expect(await client.list()).toMatchObject({ data: [file] })
    expect((await client.fetch(`/v1/uploads/${id}`)).status).toBe(200)
  })

  it('may have no parts at all', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 0)
    const file = await completed(client, id, [])
    expect(file.bytes).toBe(0)
    expect(await contentOf(client, file.id)).toHaveLength(0)
  })

  it('gives its file the time to expire that was asked for, from its completion', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 0, {
      expires_after: { anchor: 'created_at', seconds: 7200 },
    })
    now += 10
    expect(await completed(client, id, [])).toMatchObject({
      created_at: now,
      expires_at: now + 7200,
    })
  })

  it('may hold the same bytes in several places, which are one part and one blob', async () => {
    const client = await server.addTenant()
    const zeros = Buffer.alloc(20 * KiB)
    const { id } = await begin(client, 3 * zeros.length)
    const [part, again] = [await add(client, id, zeros), await add(client, id, zeros)]
    expect(again).toEqual(part)
    const file = await completed(client, id, [part.id, part.id, part.id])
    expect((await contentOf(client, file.id)).equals(Buffer.alloc(60 * KiB))).toBe(true)
    expect(await blobsOf(file.id)).toHaveLength(1)
    await client.fetch(`/v1/files/${file.id}`, { method: 'DELETE' })
    expect(await client.usedBytes()).toBe(0)
  })

  it('gives every range of its file, across every seam', async () => {
    const client = await server.addTenant()
    const contents = [1, 16 * KiB, 3, 17 * KiB, 128 * KiB, 2].map((size) => randomBytes(size))
    const whole = Buffer.concat(contents)
    const { id } = await begin(client, whole.length)
    const parts = await Promise.all(contents.map((content) => add(client, id, content)))
    const file = await completed(
      client,
      id,
      parts.map((part) => part.id),
    )
    let seam = 0
    const seams = contents.map(({ length }) => {
      seam += length
      return seam
    })
    const place = fc.oneof(
      fc.nat(whole.length - 1),
      fc
        .constantFrom(...seams)
        .chain((at) => fc.integer({ min: at - 2, max: at + 1 }))
        .map((at) => Math.max(0, Math.min(at, whole.length - 1))),
    )
    await fc.assert(
      fc.asyncProperty(place, place, async (one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)]
        const got = await contentOf(client, file.id, `bytes=${start}-${end}`)
        expect(got.equals(whole.subarray(start, end + 1))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it.each([
    ['cut in a character', ['a\xe4', '\xb8', '\xadb'], 'utf-8'],
    ['with half a character at the end', ['ab', '\xe4\xb8'], 'latin-1'],
    ['with an end without a beginning', ['ab', '\xb8c'], 'latin-1'],
  ])('is known as text or not: %s', async (_, contents, charset) => {
    const client = await server.addTenant()
    const pieces = contents.map((content) => Buffer.from(content, 'latin1'))
    const { id } = await begin(client, Buffer.concat(pieces).length)
    const parts = await Promise.all(pieces.map((piece) => add(client, id, piece)))
    const file = await completed(
      client,
      id,
      parts.map((part) => part.id),
    )
    const headers = { accept: 'application/json' }
    const response = await client.fetch(`/v1/files/${file.id}/content`, { headers })
    expect(response.headers.get('content-type')).toBe(`text/plain; charset=${charset}`)
  })
})

describe('the completion of an Upload', () => {
  it.each(['hex', 'base64'] as const)('holds the content against an MD5 in %s', async (form) => {
    const client = await server.addTenant()
    const { id } = await begin(client, 4)
    const [one, two] = [await add(client, id, 'ab'), await add(client, id, 'cd')]
    const wrong = await complete(
      client,
      id,
      [one.id, two.id],
      md5Of(Buffer.from('abce')).toString(form),
    )
    expect(await readRefusal(wrong)).toMatchObject({ status: 400, param: 'md5' })
    expect(await client.list()).toMatchObject({ data: [] })
    await completed(client, id, [one.id, two.id], md5Of(Buffer.from('abcd')).toString(form))
  })

  it('gives the same file when it is repeated, and refuses other parts', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 2)
    const [one, two] = [await add(client, id, 'a'), await add(client, id, 'b')]
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => completed(client, id, [one.id, two.id])),
    )
    expect(new Set(answers.map((file) => file.id)).size).toBe(1)
    expect((await client.list()).data).toEqual([answers[0]])
    expect(await client.usedBytes()).toBe(2)
    const other = await readRefusal(await complete(client, id, [two.id, one.id]))
    expect(other).toMatchObject({
      status: 400,
      message: `Upload ${id} is completed.`,
      param: 'upload_id',
    })
  })

  it('takes parts without a byte, of which the file knows nothing', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 3)
    const empty = await add(client, id, '')
    const { id: whole } = await add(client, id, 'abc')
    const part_ids = [empty.id, whole, ...Array<string>(100).fill(empty.id)]
    const file = await completed(client, id, part_ids)
    const sql = 'select count(*) as segments from segments where file_id = ?'
    expect(await server.query(sql, file.id)).toEqual([{ segments: 1 }])
    const content = await client.fetch(`/v1/files/${file.id}/content`)
    expect(await content.text()).toBe('abc')
  })

  it('names at most as many parts as an Upload may have', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 3)
    const part = await add(client, id, '')
    const refused = await complete(client, id, Array<string>(32_769).fill(part.id))
    expect(await readRefusal(refused)).toEqual({
      ...{ status: 400, type: 'invalid_request_error', param: 'part_ids' },
      code: 'array_above_max_length',
      message:
        "Invalid 'part_ids': array too long. Expected an array with maximum length 32768, but got " +
        'an array with length 32769 instead.',
    })
  })

  it('frees the parts that it does not name', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 40 * KiB)
    const before = await server.stored()
    const part = await add(client, id, randomBytes(20 * KiB))
    await add(client, id, randomBytes(20 * KiB))
    await completed(client, id, [part.id, part.id])
    await until(async () => (await server.stored()).blobs.length === before.blobs.length + 1)
  })

  it.each([
    [
      'an unknown part',
      (id: string) => [id, 'part_none'],
      "No such Part of this Upload: 'part_none'.",
    ],
    [
      'too few bytes',
      () => [],
      'The parts have 0 bytes together, and 2 were declared for the Upload.',
    ],
    ['too many bytes', (id: string) => [id, id], 'The parts have 4 bytes together, and 2 were'],
  ])('refuses %s, and can be tried again', async (_, idsOf, message) => {
    const client = await server.addTenant()
    const { id } = await begin(client, 2)
    const part = await add(client, id, 'ab')
    const refused = await readRefusal(await complete(client, id, idsOf(part.id)))
    expect(refused).toMatchObject({ status: 400, param: 'part_ids' })
    expect(refused.message).toContain(message)
    await completed(client, id, [part.id])
  })

  it("knows no part of another's Upload", async () => {
    const client = await server.addTenant()
    const [mine, other] = [await begin(client, 1), await begin(client, 1)]
    const part = await add(client, other.id, 'a')
    expect((await complete(client, mine.id, [part.id])).status).toBe(400)
  })
})

describe('a part', () => {
  it('is refused if it is not what its SHA-256 says, in any case of its digits', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 3)
    const sum = sha256Of(Buffer.from('abc'))
    const wrong = await readRefusal(await send(client, id, 'abd', { sha256: sum }))
    expect(wrong).toMatchObject({ status: 400, param: 'sha256' })
    const no = await readRefusal(await send(client, id, 'abc', { sha256: 'abc' }))
    expect(no).toMatchObject({ status: 400, param: 'sha256', code: 'invalid_value' })
    const right = await send(client, id, 'abc', { sha256: sum.toUpperCase() })
    expect(await right.json()).toMatchObject({ sha256: sum, bytes: 3 })
  })

  it('has at most the bytes of a part, and with the others at most those of the Upload', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, partBytes + 10)
    const large = await readRefusal(await send(client, id, randomBytes(partBytes + 1)))
    expect(large).toMatchObject({ status: 413, param: 'data' })
    await add(client, id, randomBytes(partBytes))
    const more = await readRefusal(await send(client, id, randomBytes(11)))
    expect(more).toMatchObject({ status: 400, param: 'data' })
    expect(more.message).toContain(`more bytes than the ${partBytes + 10} that were declared`)
    await add(client, id, randomBytes(10))
  })

  it.each([
    ['no data', {}, "'data' is a required property"],
    [
      'another field',
      { data: 'a', more: 'b' },
      "Additional properties are not allowed ('more' was",
    ],
  ])('needs its form: %s', async (_, fields, message) => {
    const client = await server.addTenant()
    const { id } = await begin(client, 3)
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    const response = await client.fetch(`/v1/uploads/${id}/parts`, { method: 'POST', body: form })
    const { status, message: said } = await readRefusal(response)
    expect({ status, message: said }).toEqual({
      status: 400,
      message: expect.stringContaining(message),
    })
  })

  it('is listed in the order in which it came, a page at a time', async () => {
    const client = await server.addTenant()
    const { id } = await begin(client, 30)
    const parts: UploadPart[] = []
    for (let at = 0; at < 5; at += 1) parts.push(await add(client, id, `part ${at}`.slice(0, 6)))
    const page = async (query = '') =>
      UploadPartPage.parse(await (await client.fetch(`/v1/uploads/${id}/parts${query}`)).json())
    expect(await page()).toMatchObject({ data: parts, has_more: false })
    const first = await page('?limit=2')
    expect(first).toMatchObject({ data: parts.slice(0, 2), has_more: true, last_id: parts[1]?.id })
    expect(await page(`?limit=3&after=${first.last_id}`)).toMatchObject({
      data: parts.slice(2),
      has_more: false,
    })
    const response = await client.fetch(`/v1/uploads/${id}/parts?after=part_none`)
    expect(await readRefusal(response)).toMatchObject({ status: 400, param: 'after' })
  })
})

describe('the end of an Upload', () => {
  it.each(['cancelled', 'expired', 'completed'])('refuses all else once it is %s', async (end) => {
    const client = await server.addTenant()
    const { id } = await begin(client, 3)
    const part = await add(client, id, 'abc')
    if (end === 'cancelled') {
      const response = await ask(client, `/${id}/cancel`)
      expect(await response.json()).toMatchObject({ id, status: 'cancelled', file: null })
    } else if (end === 'expired') now += 3600
    else await completed(client, id, [part.id])

    const message = `Upload ${id} is ${end}.`
    const refused = { status: 400, message, param: 'upload_id', code: null }
    expect(await readRefusal(await send(client, id, 'abc'))).toMatchObject(refused)
    expect(await readRefusal(await ask(client, `/${id}/cancel`))).toMatchObject(refused)
    expect(await readRefusal(await complete(client, id, []))).toMatchObject(refused)
    const found = await client.fetch(`/v1/uploads/${id}`)
    expect(await found.json()).toMatchObject({ status: end })
  })

  it.each(['cancelled', 'expired'])('frees its bytes and its quota: %s', async (end) => {
    const client = await server.addTenant()
    const { id } = await begin(client, 600 * KiB)
    await add(client, id, randomBytes(100 * KiB))
    const [part] = await server.query<{ blob_id: string }>(
      'select blob_id from parts where upload_id = ?',
      id,
    )
    const isThere = async () => (await server.stored()).blobs.includes(part?.blob_id ?? '')
    expect(await isThere()).toBe(true)
    expect(await client.usedBytes()).toBe(600 * KiB)
    if (end === 'cancelled') await ask(client, `/${id}/cancel`)
    else now += 3600
    await until(async () => !(await isThere()))
    expect(await client.usedBytes()).toBe(0)
  })

  it('leaves nothing of a part whose Upload is cancelled meanwhile', async () => {
    const client = await server.addTenant()
    const before = await server.stored()
    const { id } = await begin(client, 3 * partBytes)
    const sent = Array.from({ length: 3 }, () => send(client, id, randomBytes(partBytes)))
    await ask(client, `/${id}/cancel`)
    for (const response of await Promise.all(sent)) expect([200, 400]).toContain(response.status)
    await until(async () => (await server.stored()).blobs.length === before.blobs.length)
    expect(await client.usedBytes()).toBe(0)
  })
})

describe('the quota', () => {
  it('is taken by the declared bytes, and kept by the file', async () => {
    const client = await server.addTenant()
    const uploads = await Promise.all(
      Array.from({ length: 6 }, () => ask(client, '', { ...standard, bytes: 1024 * KiB })),
    )
    expect(uploads.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 400, 400])
    expect(await client.usedBytes()).toBe(quota)
    expect((await client.upload('x', { purpose: 'user_data' })).status).toBe(400)
    const { id } = Upload.parse(await uploads.find(({ status }) => status === 200)?.json())
    await ask(client, `/${id}/cancel`)
    await client.create('x')
  })
})

describe('another project', () => {
  it('finds nothing of an Upload', async () => {
    const [client, other] = [await server.addTenant(), await server.addTenant()]
    const { id } = await begin(client, 3)
    const part = await add(client, id, 'abc')
    const answers = [
      other.fetch(`/v1/uploads/${id}`),
      other.fetch(`/v1/uploads/${id}/parts`),
      send(other, id, 'abc'),
      complete(other, id, [part.id]),
      ask(other, `/${id}/cancel`),
    ]
    for (const answer of answers) {
      expect(await readRefusal(await answer)).toMatchObject({
        status: 404,
        message: `No such Upload object: ${id}`,
        param: 'upload_id',
      })
    }
    await completed(client, id, [part.id])
  })
})

describe('a new Upload', () => {
  it.each([
    [{ filename: undefined }, "Missing required parameter: 'filename'.", 'filename'],
    [{ bytes: '10' }, "Invalid type for 'bytes': expected an integer, but got a string", 'bytes'],
    [{ bytes: 1.5 }, "Invalid type for 'bytes': expected an integer, but got a decimal", 'bytes'],
    [{ bytes: -1 }, "Invalid 'bytes': integer below minimum value.", 'bytes'],
    [{ bytes: 1024 * KiB + 1 }, "Invalid 'bytes': integer above maximum value.", 'bytes'],
    [{ purpose: 'x' }, "Invalid value: 'x'. Supported values are: 'fine-tune'", 'purpose'],
    [
      { mime_type: 7 },
      "Invalid type for 'mime_type': expected a string, but got an int",
      'mime_type',
    ],
    [
      { mime_type: 'x'.repeat(256) },
      "Invalid 'mime_type': string too long. Expected a string with maximum length 255, but got",
      'mime_type',
    ],
    [
      { mime_type: 'text/plain\0' },
      "Invalid value for 'mime_type': expected a text without control characters.",
      'mime_type',
    ],
    [{ colour: 'red' }, "Unknown parameter: 'colour'.", 'colour'],
    [{ purpose: 'batch', filename: 'a.txt' }, 'Invalid file format for Batch API', null],
    [{ expires_after: 7 }, "Invalid type for 'expires_after': expected an object", 'expires_after'],
    [
      { expires_after: { anchor: 'now', seconds: 7200 } },
      "Invalid value: 'now'. Supported values are: 'created_at'.",
      'expires_after.anchor',
    ],
  ])('is refused with a sentence: %j', async (differences, message, param) => {
    const client = await server.addTenant()
    const response = await ask(client, '', { ...standard, bytes: 10, ...differences })
    const refused = await readRefusal(response)
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining(message), param })
    expect(await client.usedBytes()).toBe(0)
  })

  it.each([
    ['{"filename": ', 'application/json', 400],
    ['[]', 'application/json', 400],
    ['', 'application/json', 400],
    ['{}', 'text/plain', 415],
    [`{"filename": "${'x'.repeat(1024 * KiB)}"}`, 'application/json', 400],
  ])('needs JSON: %.20s as %s', async (body, type, status) => {
    const client = await server.addTenant()
    const headers = { 'content-type': type }
    const response = await client.fetch('/v1/uploads', { method: 'POST', headers, body })
    expect(await readRefusal(response)).toMatchObject({ status })
  })
})

async function blobsOf(file: string): Promise<string[]> {
  const rows = await server.query<{ blob_id: string }>(
    'select distinct blob_id from segments where file_id = ?',
    file,
  )
  return rows.map(({ blob_id }) => blob_id)
}
