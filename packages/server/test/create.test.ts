import { File, UploadPurpose } from '@coffer/contract'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type Refusal, readRefusal, refusal } from './answers.ts'
import { chunked, createHead, type FormPart, fieldPart, filePart, formBody } from './form-body.ts'
import { type Client, startServer } from './start-server.ts'
import { batchLine, evalLine, trainingLine, validFiles } from './valid-content.ts'

const now = 1_800_000_000
const MiB = 1024 * 1024
const server = await startServer({
  clock: { now: () => now },
  settings: {
    COFFER_MAX_FILE_BYTES: String(MiB),
    COFFER_ORGANIZATION_QUOTA_BYTES: String(2 * MiB),
  },
})
afterAll(() => server[Symbol.asyncDispose]())

interface RawForm {
  readonly body: Uint8Array
  readonly contentType?: string
  /** Sizes of chunks, for a body that does not say its length. */
  readonly sizes?: readonly number[]
}

/** Sends a body as it is. */
async function post(client: Client, form: RawForm): Promise<Response> {
  const { body, contentType = 'multipart/form-data; boundary=cut-here', sizes } = form
  const connection = await server.connect()
  const type = contentType === '' ? [] : [`Content-Type: ${contentType}`]
  const framing =
    sizes === undefined ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked'
  connection.write(
    createHead(client.apiKey, ...type, framing),
    sizes === undefined ? body : chunked(body, sizes),
  )
  return connection.answer()
}

function postParts(client: Client, ...parts: FormPart[]): Promise<Response> {
  return post(client, { body: formBody('cut-here', parts) })
}

/** Reads the refusal of an upload and checks that nothing is left of it. */
async function refusalOf(client: Client, send: () => Promise<Response>): Promise<Refusal> {
  const [stored, page] = [await server.stored(), await client.list()]
  const refused = await readRefusal(await send())
  expect(await server.stored()).toEqual(stored)
  expect(await client.list()).toEqual(page)
  return refused
}

async function fileOf(response: Response): Promise<File> {
  return File.parse(await response.json())
}

async function contentOf(client: Client, id: string): Promise<string> {
  return (await client.fetch(`/v1/files/${id}/content`)).text()
}

describe('the answer to POST /v1/files', () => {
  it("is the file, with the vendor's keys in the vendor's order", async () => {
    const client = await server.addTenant()
    const response = await client.upload('content', { purpose: 'assistants' }, 'notes.txt')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    const text = await response.text()
    const { id } = File.parse(JSON.parse(text))
    expect(id).toMatch(/^file-[1-9A-HJ-NP-Za-km-z]{22}$/)
    expect(text).toBe(
      `{"object":"file","id":"${id}","purpose":"assistants","filename":"notes.txt","bytes":7,` +
        `"created_at":${now},"expires_at":null,"status":"processed","status_details":null,` +
        // Ours come behind them.
        '"sha256":"ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",' +
        '"mime_type":"text/plain"}',
    )
  })

  it('is what GET answers afterwards', async () => {
    const client = await server.addTenant()
    const file = await client.create()
    const response = await client.fetch(`/v1/files/${file.id}`)
    expect(await response.json()).toEqual(file)
  })

  it('comes when the bytes are in place and counted', async () => {
    const client = await server.addTenant()
    const { id, bytes } = await client.create('ten bytes!')
    expect(bytes).toBe(10)
    expect(await client.usedBytes()).toBe(10)
    expect(await contentOf(client, id)).toBe('ten bytes!')
  })

  it('gives every file an id of its own, for the same content too', async () => {
    const client = await server.addTenant()
    const files = await Promise.all(Array.from({ length: 8 }, () => client.create('same')))
    expect(new Set(files.map((file) => file.id)).size).toBe(8)
  })
})

describe('the form', () => {
  it('is read with its fields in any order', async () => {
    const client = await server.addTenant()
    const parts = [
      filePart(`${batchLine()}\n`, '; filename="a.jsonl"'),
      fieldPart('purpose', 'batch'),
      fieldPart('expires_after[anchor]', 'created_at'),
      fieldPart('expires_after[seconds]', '3600'),
    ]
    for (const order of permutations(parts)) {
      const response = await postParts(client, ...order)
      expect(await response.json()).toMatchObject({
        purpose: 'batch',
        filename: 'a.jsonl',
        bytes: batchLine().length + 1,
        expires_at: now + 3600,
      })
    }
  })

  it('gives the same file however the network cuts it', async () => {
    const client = await server.addTenant()
    const content = 'a\r\n--cut-her\r\n--cut-heree\r\n\r\n--cut-here-\r'.repeat(20)
    const body = formBody('cut-here', [filePart(content), fieldPart('purpose', 'user_data')])
    const sizes = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(sizes, async (chunks) => {
        const { id } = await fileOf(await post(client, { body, sizes: chunks }))
        expect(await contentOf(client, id)).toBe(content)
      }),
      { numRuns: 20 },
    )
  })

  it.each([
    ['that begins like the boundary', 'a\r\n--cut-hereafter\r\nb'],
    ['that has the boundary within a line', 'a --cut-here\r\nb--cut-here--'],
    ['that ends like the boundary begins', 'a\r\n--cut-her'],
    ['of nothing but line ends', '\r\n\r\n\r\n'],
  ])('keeps content %s', async (_, content) => {
    const client = await server.addTenant()
    const response = await postParts(client, filePart(content), fieldPart('purpose', 'user_data'))
    const { id } = await fileOf(response)
    expect(await contentOf(client, id)).toBe(content)
  })

  it('may hold a file without any bytes', async () => {
    const client = await server.addTenant()
    const { id, bytes } = await client.create('')
    expect(bytes).toBe(0)
    expect(await contentOf(client, id)).toBe('')
  })

  it('may hold a file of just the most bytes', async () => {
    const client = await server.addTenant()
    const { bytes } = await client.create(new Uint8Array(MiB))
    expect(bytes).toBe(MiB)
  })
})

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length === 0) return [[]]
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  )
}

const octets = 'Content-Type: application/octet-stream'

/** What each client writes, byte by byte (contract §3.1, §4.3). */
const clients = [
  {
    title: 'the Python SDK',
    boundary: 'd3a9f3b7c1e84b0f9a6d5c2e1f0b8a77',
    parts: [
      fieldPart('purpose', 'user_data'),
      fieldPart('expires_after[anchor]', 'created_at'),
      fieldPart('expires_after[seconds]', '3600'),
      withHeader(filePart('content', '; filename="upload"'), octets),
    ],
    file: { filename: 'upload', purpose: 'user_data', expires_at: now + 3600 },
  },
  {
    title: 'the Node SDK with a File',
    boundary: '----formdata-undici-0123456789ab',
    parts: [
      withHeader(filePart('content', '; filename="unknown_file"'), octets),
      fieldPart('purpose', 'user_data'),
    ],
    file: { filename: 'unknown_file', purpose: 'user_data' },
  },
  {
    title: 'the Node SDK with a stream',
    boundary: 'openai-7e0b8c9a-1f2d-4e3b-9c8d-7a6b5c4d3e2f',
    parts: [
      withHeader(filePart(trainingLine, '; filename="train.jsonl"'), octets),
      fieldPart('purpose', 'fine-tune'),
    ],
    file: { filename: 'train.jsonl', purpose: 'fine-tune' },
  },
  {
    title: 'the Node SDK of 2023, with a line end behind the last boundary',
    boundary: 'form-data-boundary-1234567890abcdef',
    parts: [
      fieldPart('purpose', 'assistants'),
      withHeader(filePart('content', '; filename="notes.md"'), 'Content-Type: text/markdown'),
    ],
    epilogue: '\r\n\r\n',
    file: { filename: 'notes.md', purpose: 'assistants' },
  },
  {
    title: 'the Go SDK',
    boundary: '5b0c7f1e2d3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a',
    parts: [
      fieldPart('expires_after[anchor]', 'created_at'),
      fieldPart('expires_after[seconds]', '7200'),
      withHeader(filePart('content', '; filename="anonymous_file"'), octets),
      fieldPart('purpose', 'user_data'),
    ],
    file: { filename: 'anonymous_file', purpose: 'user_data', expires_at: now + 7200 },
  },
  {
    title: 'the Java SDK with an InputStream, whose file has no name',
    boundary: '3f1c2e4a-5b6d-4c7e-8f90-a1b2c3d4e5f6',
    parts: [
      withHeader(filePart('content', ''), octets),
      withHeader(fieldPart('purpose', 'user_data'), 'Content-Type: text/plain; charset=utf-8'),
    ],
    file: { filename: 'file', purpose: 'user_data' },
  },
  {
    title: 'ruby-openai, with an empty Content-Type',
    boundary: '-----------RubyMultipartPost-d1b2',
    parts: [
      withHeader(
        filePart('content', '; filename="a.pdf"'),
        'Content-Length: 7',
        'Content-Type: ',
        'Content-Transfer-Encoding: binary',
      ),
      fieldPart('purpose', 'user_data'),
    ],
    epilogue: '\r\n\r\n',
    file: { filename: 'a.pdf', purpose: 'user_data' },
  },
  {
    title: 'the generated Python client with plain bytes',
    boundary: '0f1e2d3c4b5a69788796a5b4c3d2e1f0',
    parts: [
      fieldPart('purpose', 'fine-tune'),
      withHeader(filePart(trainingLine, '; filename="file"'), octets),
    ],
    file: { filename: 'file', purpose: 'fine-tune' },
  },
  {
    title: 'a client that ends its body with the last boundary',
    boundary: 'x',
    parts: [fieldPart('purpose', 'evals'), filePart(evalLine, '; filename=plain.jsonl')],
    epilogue: '',
    file: { filename: 'plain.jsonl', purpose: 'evals' },
  },
]

function withHeader({ headers, content }: FormPart, ...more: string[]): FormPart {
  return { headers: [...headers, ...more], content }
}

function isFile({ headers }: FormPart): boolean {
  return headers.some((header) => header.includes('name="file"'))
}

describe.each(clients)('the form of $title', ({ boundary, parts, epilogue, file }) => {
  const body = formBody(boundary, parts, epilogue)
  const framings = [
    { framing: 'its length', sizes: undefined },
    { framing: 'one chunk', sizes: [body.length] },
    { framing: 'chunks of seven bytes', sizes: [7] },
  ]

  it.each(framings)('is stored when sent with $framing', async ({ sizes }) => {
    const client = await server.addTenant()
    const contentType = `multipart/form-data; boundary=${boundary}`
    const response = await post(client, {
      body,
      contentType,
      ...(sizes === undefined ? {} : { sizes }),
    })
    const created = await fileOf(response)
    const content = String(parts.find(isFile)?.content)
    expect(created).toMatchObject({ bytes: content.length, expires_at: null, ...file })
    expect(await contentOf(client, created.id)).toBe(content)
  })
})

describe('the name of a file', () => {
  it.each([
    ['in plain UTF-8', '; filename="né 中 😀.txt"', 'né 中 😀.txt'],
    ['in the extended form', "; filename*=UTF-8''n%C3%A9%20%E4%B8%AD.txt", 'né 中.txt'],
    ['in Latin-1', "; filename*=ISO-8859-1'en'n%E9.txt", 'né.txt'],
    ['in both forms', `; filename="n.txt"; filename*=UTF-8''n%C3%A9.txt`, 'né.txt'],
    ['with quotes as browsers write them', '; filename="say %22hi%22.txt"', 'say "hi".txt'],
    ['with quotes as curl writes them', String.raw`; filename="say \"hi\".txt"`, 'say "hi".txt'],
    ['with a percent sign', '; filename="100%.txt"', '100%.txt'],
    ['with a semicolon', '; filename="a;b.txt"', 'a;b.txt'],
    ['without quotes', '; filename=plain.txt', 'plain.txt'],
    ['that is a path', '; filename="../../etc/passwd"', 'passwd'],
    ['that is a Windows path', String.raw`; filename="C:\Users\me\a.txt"`, 'a.txt'],
    ['with characters that turn the text', '; filename="\u202Egpj.exe"', '\u202Egpj.exe'],
    ['that is missing', '', 'file'],
    ['that is empty', '; filename=""', 'file'],
    ['that is only a folder', '; filename=".."', 'file'],
    ['of the most bytes', `; filename="${'é'.repeat(512)}"`, 'é'.repeat(512)],
  ])('is kept %s', async (_, disposition, filename) => {
    const client = await server.addTenant()
    const part = filePart('content', disposition)
    const response = await postParts(client, part, fieldPart('purpose', 'user_data'))
    expect(await response.json()).toMatchObject({ filename })
  })

  it.each([
    ['a line end', '; filename="a%0Ab"', 'it contains a control character.'],
    ['a NUL', "; filename*=UTF-8''a%00b", 'it contains a control character.'],
    ['a byte too many', `; filename="${'é'.repeat(512)}x"`, 'it exceeds 1024 bytes.'],
  ])('is refused with %s', async (_, disposition, why) => {
    const client = await server.addTenant()
    const send = () =>
      postParts(client, filePart('content', disposition), fieldPart('purpose', 'user_data'))
    expect(await refusalOf(client, send)).toEqual(
      refusal(400, `Invalid filename: ${why}`, { param: 'file', code: 'invalid_filename' }),
    )
  })
})

describe('the purpose', () => {
  const known = "['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals']"

  it.each(UploadPurpose.options)('may be %s', async (purpose) => {
    const client = await server.addTenant()
    const file = await client.createFor(purpose)
    expect(file.purpose).toBe(purpose)
  })

  it.each(['assistants_output', 'batch_output', 'fine-tune-results', 'Batch', 'toString', ''])(
    "may not be '%s'",
    async (purpose) => {
      const client = await server.addTenant()
      const send = () => client.upload('{}\n', { purpose }, 'a.jsonl')
      const message = `'${purpose}' is not one of ${known} - 'purpose'`
      expect(await refusalOf(client, send)).toEqual(refusal(400, message, { param: 'purpose' }))
    },
  )

  it('is checked after the file, too', async () => {
    const client = await server.addTenant()
    const send = () => postParts(client, filePart(), fieldPart('purpose', 'nonsense'))
    const message = `'nonsense' is not one of ${known} - 'purpose'`
    expect(await refusalOf(client, send)).toEqual(refusal(400, message, { param: 'purpose' }))
  })
})

describe('the name that a purpose asks for', () => {
  const cases = [
    { purpose: 'fine-tune', api: 'Fine-Tuning API' },
    { purpose: 'batch', api: 'Batch API' },
    { purpose: 'evals', api: 'Evals API' },
  ] as const

  it.each(cases)('of $purpose ends in .jsonl', async ({ purpose, api }) => {
    const client = await server.addTenant()
    const message = `Invalid file format for ${api}. Must be .jsonl`
    const { content } = validFiles[purpose]
    for (const name of ['data.json', 'data.jsonl.gz', 'data.jsonl ']) {
      const send = () => client.upload(content, { purpose }, name)
      expect(await refusalOf(client, send)).toEqual(refusal(400, message))
    }
    for (const name of ['data.jsonl', 'data.JSONL', '.jsonl']) {
      expect((await client.create(content, { purpose }, name)).filename).toBe(name)
    }
  })

  it.each(cases)('of $purpose is checked after the file, too', async ({ purpose, api }) => {
    const client = await server.addTenant()
    const part = filePart(validFiles[purpose].content, '; filename="data.txt"')
    const send = () => postParts(client, part, fieldPart('purpose', purpose))
    const message = `Invalid file format for ${api}. Must be .jsonl`
    expect(await refusalOf(client, send)).toEqual(refusal(400, message))
  })

  it.each(cases)('of $purpose may have no extension in the open profile', async ({ purpose }) => {
    const { content } = validFiles[purpose]
    const client = await server.addTenant()
    const file = await client.create(content, { purpose }, 'data')
    expect(file.filename).toBe('data')
  })

  it('has an extension in the profile of the vendor', async () => {
    await using strict = await startServer({ settings: { COFFER_PROFILE: 'openai' } })
    for (const { purpose, api } of cases) {
      const response = await strict.upload(validFiles[purpose].content, { purpose }, 'data')
      const message = `Invalid file format for ${api}. Must be .jsonl`
      expect(await readRefusal(response)).toEqual(refusal(400, message))
      expect(await strict.createFor(purpose)).toMatchObject({ purpose })
    }
  })
})

describe('expiry', () => {
  const anchor = { 'expires_after[anchor]': 'created_at' }

  it('comes after thirty days for a batch', async () => {
    const client = await server.addTenant()
    const file = await client.createFor('batch')
    expect(file.expires_at).toBe(now + 30 * 24 * 3600)
  })

  it.each(['assistants', 'fine-tune', 'vision', 'user_data', 'evals'] as const)(
    'never comes for %s unless asked for',
    async (purpose) => {
      const client = await server.addTenant()
      const file = await client.createFor(purpose)
      expect(file.expires_at).toBeNull()
    },
  )

  it.each(['3600', '86400', '2592000'])('comes after %s seconds on demand', async (seconds) => {
    const fields = { ...anchor, 'expires_after[seconds]': seconds }
    const client = await server.addTenant()
    const file = await client.createFor('batch', fields)
    expect(file.expires_at).toBe(now + Number(seconds))
  })

  it.each([
    ['a number', '{"anchor":"created_at","seconds":7200}'],
    ['a text', '{"anchor":"created_at","seconds":"7200"}'],
  ])('may be JSON with %s', async (_, json) => {
    const fields = { purpose: 'user_data', expires_after: json }
    const client = await server.addTenant()
    const file = await client.create('content', fields)
    expect(file.expires_at).toBe(now + 7200)
  })

  const param = 'expires_after.seconds'
  it.each([
    ['3599', 'below minimum value. Expected a value >= 3600, but got 3599', 'below_min'],
    ['0', 'below minimum value. Expected a value >= 3600, but got 0', 'below_min'],
    ['-1', 'below minimum value. Expected a value >= 3600, but got -1', 'below_min'],
    ['2592001', 'above maximum value. Expected a value <= 2592000, but got 2592001', 'above_max'],
  ])('is not %s seconds away', async (seconds, fault, code) => {
    const client = await server.addTenant()
    const fields = { purpose: 'user_data', ...anchor, 'expires_after[seconds]': seconds }
    expect(await refusalOf(client, () => client.upload('content', fields))).toEqual(
      refusal(400, `Invalid '${param}': integer ${fault} instead.`, {
        param,
        code: `integer_${code}_value`,
      }),
    )
  })

  it.each(['soon', '3600.5', '1e4', '0x1000', '', ' 3600'])(
    "is not '%s' seconds away",
    async (seconds) => {
      const client = await server.addTenant()
      const fields = { purpose: 'user_data', ...anchor, 'expires_after[seconds]': seconds }
      expect(await refusalOf(client, () => client.upload('content', fields))).toEqual(
        refusal(
          400,
          `Invalid type for '${param}': expected an integer, but got '${seconds}' instead.`,
          { param, code: 'invalid_type' },
        ),
      )
    },
  )

  it('counts from the creation only', async () => {
    const client = await server.addTenant()
    const fields = { purpose: 'user_data', 'expires_after[seconds]': '3600' }
    const send = () =>
      client.upload('content', { ...fields, 'expires_after[anchor]': 'last_active_at' })
    expect(await refusalOf(client, send)).toEqual(
      refusal(400, "Invalid value: 'last_active_at'. Supported values are: 'created_at'.", {
        param: 'expires_after.anchor',
        code: 'invalid_value',
      }),
    )
  })

  it.each([
    ['anchor', 'expires_after[seconds]', '3600'],
    ['seconds', 'expires_after[anchor]', 'created_at'],
  ])('needs its %s', async (missing, name, value) => {
    const client = await server.addTenant()
    const send = () => client.upload('content', { purpose: 'user_data', [name]: value })
    expect(await refusalOf(client, send)).toEqual(
      refusal(400, `'expires_after[${missing}]' is a required property`),
    )
  })

  it.each(['soon', '3600', 'null', '{"anchor":"created_at"}', '{"anchor":1,"seconds":3600}'])(
    'is not written as %s',
    async (json) => {
      const client = await server.addTenant()
      const fields = { purpose: 'user_data', expires_after: json }
      expect(await refusalOf(client, () => client.upload('content', fields))).toEqual(
        refusal(
          400,
          `Invalid value for 'expires_after': expected {"anchor": "created_at", "seconds": SECONDS}.`,
          { param: 'expires_after', code: 'invalid_value' },
        ),
      )
    },
  )
})

describe('a form that is refused', () => {
  const purpose = fieldPart('purpose', 'user_data')
  const forms: [title: string, parts: FormPart[], message: string][] = [
    ['without a file', [purpose], "'file' is a required property"],
    ['without a purpose', [filePart()], "'purpose' is a required property"],
    ['without anything', [], "'file' is a required property"],
    ['with two files', [filePart(), purpose, filePart()], "'file' may be given only once"],
    ['with two purposes', [purpose, filePart(), purpose], "'purpose' may be given only once"],
    [
      'with an unknown field',
      [purpose, filePart(), fieldPart('model', 'x')],
      "Additional properties are not allowed ('model' was unexpected)",
    ],
    [
      'with a field of too many bytes',
      [filePart(), fieldPart('purpose', 'x'.repeat(4097))],
      "'purpose' is too long: it may have 4096 bytes",
    ],
    [
      'with a part without a name',
      [purpose, { headers: ['Content-Disposition: form-data'], content: '' }],
      'The form has a part without a name.',
    ],
    [
      'with a part without headers',
      [purpose, { headers: [], content: 'content' }],
      'The form ends before its closing boundary.',
    ],
    [
      'with an encoded file',
      [purpose, withHeader(filePart('Y29udGVudA=='), 'Content-Transfer-Encoding: base64')],
      "The form has a part with the Content-Transfer-Encoding 'base64'.",
    ],
    [
      'with headers that are too long',
      [purpose, withHeader(filePart(), `X-Long: ${'x'.repeat(17_000)}`)],
      'The headers of a part of the form exceed 16384 bytes.',
    ],
    [
      'whose content has the boundary as a line',
      [purpose, filePart('one\r\n--cut-here\r\ntwo\r\n\r\n')],
      'The form has a part with a malformed header line.',
    ],
    [
      'whose content has the last boundary as a line',
      [purpose, filePart('one\r\n--cut-here--two')],
      'The form has text in the line of its last boundary.',
    ],
  ]

  it.each(forms)('%s leaves nothing', async (_, parts, message) => {
    const client = await server.addTenant()
    const send = () => postParts(client, ...parts)
    expect(await refusalOf(client, send)).toEqual(refusal(400, message))
  })

  it.each([
    ['within a header', 'Content-Disposition'],
    ['within the content', 'conte'],
    ['before the last boundary', 'content'],
    ['within the last boundary', 'content\r\n--cut-here-'],
  ])('as it ends %s leaves nothing', async (_, last) => {
    const client = await server.addTenant()
    const whole = formBody('cut-here', [purpose, filePart()])
    const body = whole.subarray(0, whole.lastIndexOf(last) + last.length)
    expect(await refusalOf(client, () => post(client, { body }))).toEqual(
      refusal(400, 'The form ends before its closing boundary.'),
    )
  })

  it('as its file is one byte too large leaves nothing', async () => {
    const client = await server.addTenant()
    const send = () => client.upload(new Uint8Array(MiB + 1), { purpose: 'user_data' })
    expect(await refusalOf(client, send)).toEqual(
      refusal(413, 'File is too large. A file may have at most 1048576 bytes (1 MiB).'),
    )
  })

  it('as it would pass the quota by one byte leaves nothing', async () => {
    const client = await server.addTenant()
    await client.create(new Uint8Array(MiB))
    await client.create(new Uint8Array(MiB - 5))
    const send = () => client.upload('6 more', { purpose: 'user_data' })
    expect(await refusalOf(client, send)).toEqual(
      refusal(
        400,
        'You have exceeded your file storage quota. Organizations are limited to 2 MiB of files. ' +
          'Please delete old files or attempt with a smaller file size.',
      ),
    )
    expect(await client.create('5 fit')).toMatchObject({ bytes: 5 })
  })

  it.each([
    ['JSON', 'application/json'],
    ['urlencoded', 'application/x-www-form-urlencoded'],
    ['of another multipart type', 'multipart/mixed; boundary=cut-here'],
    ['without a boundary', 'multipart/form-data'],
    ['with an empty boundary', 'multipart/form-data; boundary=""'],
    ['with too long a boundary', `multipart/form-data; boundary=${'x'.repeat(71)}`],
    ['of no type that can be read', 'nonsense'],
    ['without a type', ''],
  ])('as it is %s leaves nothing', async (_, contentType) => {
    const client = await server.addTenant()
    const body = formBody('cut-here', [purpose, filePart()])
    expect(await refusalOf(client, () => post(client, { body, contentType }))).toEqual(
      refusal(
        415,
        `Unsupported content type: '${contentType}'. This API method only accepts ` +
          "'multipart/form-data' requests, but you specified the header " +
          `'Content-Type: ${contentType}'.`,
        { code: 'unsupported_content_type' },
      ),
    )
  })
})
