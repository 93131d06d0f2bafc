import { once } from 'node:events'
import { type ContentFault, File } from '@coffer/contract'
import { afterAll, describe, expect, it } from 'vitest'
import { createHead, fieldPart, filePart, formBody } from './form-body.ts'
import { fault, type Refused, readRefused, refusedOf, type SentFile, send, ways } from './rules.ts'
import { type StartOptions, startServer, type TestServer } from './start-server.ts'
import { batchLine, evalLine, trainingLine } from './valid-content.ts'

const KiB = 1024
const MiB = 1024 * KiB
const server = await startServer()
afterAll(() => server[Symbol.asyncDispose]())

function startWith(settings: StartOptions['settings'] = {}): Promise<TestServer> {
  return startServer({ settings })
}

/** A file named for lines of JSON. */
function linesFile(purpose: string, ...lines: string[]): SentFile {
  return { purpose, filename: 'lines.jsonl', content: lines.map((line) => `${line}\n`).join('') }
}

const noDictionary = (line: number, hint: string) =>
  'Expected file to have JSONL format, where every line is a JSON dictionary. ' +
  `Line ${line} is not a dictionary (HINT: line starts with: "${hint}...").`
const noJson = { code: 'invalid_json_line', expected: 'a JSON object' }
const lacking = (param: string) => ({
  ...{ code: 'missing_required_parameter', message: `Missing required parameter: '${param}'.` },
  ...{ param, expected: `the parameter '${param}'` },
})

interface BadLines {
  readonly purpose: string
  /** Right by itself, of another each time. */
  readonly good: (number: number) => string
  readonly bad: readonly string[]
  /** Of the first that is bad, where the file has no other. */
  readonly message: string
  /** By the index in `bad`. */
  readonly faults: readonly (readonly [number, Omit<ContentFault, 'line' | 'offset'>])[]
}

const unplaced = { param: null }

const badLines: readonly BadLines[] = [
  {
    purpose: 'fine-tune',
    good: () => trainingLine,
    bad: ['{"prompt":"a"', '{"messages":[{"role":"wizard","content":"x"}]}', '{"prompt":"a"}'],
    message: noDictionary(1, '{"p'),
    faults: [
      [0, { ...noJson, ...unplaced, message: noDictionary(1, '{"p') }],
      [
        1,
        {
          code: 'invalid_value',
          message:
            "'messages[0].role' must be one of 'system', 'developer', 'user', 'assistant', " +
            "'tool', 'function'.",
          param: 'messages[0].role',
          expected: "one of 'system', 'developer', 'user', 'assistant', 'tool', 'function'",
        },
      ],
      [
        1,
        {
          code: 'missing_assistant_message',
          message: 'A chat must have a message of the assistant, from which to learn.',
          param: 'messages',
          expected: "a message whose role is 'assistant'",
        },
      ],
      [2, lacking('completion')],
    ],
  },
  {
    purpose: 'batch',
    good: (number) => batchLine(`id-${number}`),
    bad: [
      '{"custom_id":',
      '[]',
      '{}',
      batchLine('id-0'),
      '{"custom_id":"b","method":"GET","url":"/v1/files","body":{"model":"gpt-4o","stream":true}}',
      '{"custom_id":"c","method":"POST","url":"/v1/embeddings","body":{"model":"other"}}',
      '{"custom_id":"d","method":"POST","url":"/v1/responses","body":{}}',
    ],
    message: 'Line 1: This line is not parseable as valid JSON.',
    faults: [
      [0, { ...noJson, ...unplaced, message: 'This line is not parseable as valid JSON.' }],
      [
        1,
        { ...noJson, ...unplaced, message: 'This line is not parseable as a valid JSON object.' },
      ],
      ...['custom_id', 'method', 'url', 'body'].map((name) => [2, lacking(name)] as const),
      [
        3,
        {
          code: 'duplicate_custom_id',
          message:
            "The custom_id 'id-0' is used by an earlier line of this file, and must be unique.",
          param: 'custom_id',
          expected: 'an id that no other line has',
        },
      ],
      [
        4,
        {
          code: 'invalid_value',
          message: "'method' must be 'POST'.",
          param: 'method',
          expected: "'POST'",
        },
      ],
      [
        4,
        {
          code: 'invalid_url',
          message: 'The URL provided for this request does not match the batch endpoint.',
          param: 'url',
          expected: "'/v1/responses', as in the lines before",
        },
      ],
      [
        4,
        {
          code: 'streaming_unsupported',
          message: 'Streaming is not supported in the Batch API.',
          param: 'body.stream',
          expected: 'no stream, or false',
        },
      ],
      [
        5,
        {
          code: 'invalid_url',
          message: 'The URL provided for this request does not match the batch endpoint.',
          param: 'url',
          expected: "'/v1/responses', as in the lines before",
        },
      ],
      [
        5,
        {
          code: 'mismatched_model',
          message:
            "All requests of a batch must have the same model: this one has 'other', " +
            "and the lines before it 'gpt-4o'.",
          param: 'body.model',
          expected: "'gpt-4o'",
        },
      ],
      [
        6,
        {
          code: 'invalid_request',
          message: 'Model parameter is required.',
          param: 'body.model',
          expected: "the parameter 'model'",
        },
      ],
    ],
  },
  {
    purpose: 'evals',
    good: () => evalLine,
    bad: ['null', '{}', '{"item":[]}', ''],
    message: noDictionary(1, 'nul'),
    faults: [
      [0, { ...noJson, ...unplaced, message: noDictionary(1, 'nul') }],
      [1, lacking('item')],
      [
        2,
        {
          code: 'invalid_type',
          message: "'item' must be an object.",
          param: 'item',
          expected: 'an object',
        },
      ],
      [
        3,
        {
          code: 'empty_line',
          message: 'This line is empty, and others come behind it.',
          ...unplaced,
          expected: 'a JSON object',
        },
      ],
    ],
  },
]

describe.each(badLines)('lines for $purpose', ({ purpose, good, bad, message, faults }) => {
  it('are refused in the words of the vendor', async () => {
    const client = await server.addTenant()
    const refused = await refusedOf(server, client, linesFile(purpose, bad[0] ?? ''))
    expect(refused).toMatchObject({ message, param: faults[0]?.[1].param, details_total: 1 })
  })

  it('are taken where they are right', async () => {
    const client = await server.addTenant()
    const file = linesFile(purpose, good(0), good(1), good(2))
    for (const way of ways) {
      const created = File.parse(await (await send(client, file, way)).json())
      expect(created).toMatchObject({ num_lines: 3, mime_type: 'application/jsonl' })
    }
  })

  /** Up to 16 KiB are looked at by the main thread. */
  it.each([
    ['a few', 1],
    ['16 KiB of them', 200],
    ['several MiB of them', 45_000],
  ])('are told with their faults, be there %s right ones before', async (_, count) => {
    const client = await server.addTenant()
    const before = Array.from({ length: count }, (_line, number) => good(number))
    const file = linesFile(purpose, ...before, ...bad, good(count))
    const starts: number[] = []
    let offset = before.reduce((sum, line) => sum + line.length + 1, 0)
    for (const line of bad) {
      starts.push(offset)
      offset += line.length + 1
    }
    const details = faults.map(([index, told]) => ({
      line: count + 1 + index,
      offset: starts[index] ?? 0,
      ...told,
      message: told.message.replace('Line 1 ', `Line ${count + 1 + index} `),
    }))
    for (const way of ways) {
      const refused = await refusedOf(server, client, file, way)
      expect(refused.details).toEqual(details)
      expect(refused.details_total).toBe(details.length)
      expect(refused.message).toMatch(`Line ${count + 1}`)
      expect(refused.message).toMatch(` (The first of ${details.length} faults.)`)
    }
  })

  it('are told a hundred faults at most, and how many there are', async () => {
    const client = await server.addTenant()
    for (const count of [100, 101, 30_000]) {
      const file = linesFile(purpose, ...Array.from({ length: count }, () => '[]'))
      const refused = await refusedOf(server, client, file)
      expect(refused.details.map(({ line }) => line)).toEqual(
        Array.from({ length: 100 }, (_, index) => index + 1),
      )
      expect(refused.details.map(({ offset }) => offset)).toEqual(
        Array.from({ length: 100 }, (_, index) => index * 3),
      )
      expect(refused.details_total).toBe(count)
    }
  })

  it('may begin with a byte order mark, end in CRLF, or not end at all', async () => {
    const client = await server.addTenant()
    const [first, second] = [good(0), good(1)]
    for (const content of [
      `\ufeff${first}\n${second}\n`,
      `${first}\r\n${second}\r\n`,
      `${first}\n${second}`,
      `${first}\r\n${second}\r\n\r\n \t\r\n\n`,
    ]) {
      const response = await send(client, { purpose, filename: 'a.jsonl', content })
      expect(response.status, JSON.stringify(content)).toBe(200)
      expect(await response.json()).toMatchObject({ num_lines: 2 })
    }
  })

  it('have the same offsets behind a byte order mark and CRLF', async () => {
    const client = await server.addTenant()
    const content = `\ufeff${good(0)}\r\n{}[]\r\n`
    const file = { purpose, filename: 'a.jsonl', content }
    const { details } = await refusedOf(server, client, file)
    const offset = Buffer.byteLength(`\ufeff${good(0)}\r\n`)
    expect(details).toMatchObject([{ line: 2, offset, code: 'invalid_json_line' }])
  })

  it.each(['', '\n', '\r\n \n', '\ufeff'])('are at least one: %j', async (content) => {
    const client = await server.addTenant()
    for (const way of ways) {
      const refused = await refusedOf(
        server,
        client,
        { purpose, filename: 'a.jsonl', content },
        way,
      )
      expect(refused.message).toBe('The file has no line.')
      expect(refused.details).toEqual([
        {
          ...{ line: null, offset: null, code: 'empty_file', message: 'The file has no line.' },
          ...{ param: null, expected: 'lines of JSON objects' },
        },
      ])
    }
  })

  it('need no name in the open profile, and are read the same without one', async () => {
    const client = await server.addTenant()
    const content = `${good(0)}\n[]\n`
    for (const way of ways) {
      const { details } = await refusedOf(
        server,
        client,
        { purpose, filename: 'data', content },
        way,
      )
      expect(details).toMatchObject([{ line: 2, offset: good(0).length + 1 }])
      const right = { purpose, filename: 'data', content: `${good(0)}\n` }
      expect((await send(client, right, way)).status).toBe(200)
    }
  })

  it('of 16 MiB are read, and longer ones refused', async () => {
    const client = await server.addTenant()
    const most = 16 * MiB
    const long = (length: number) => {
      const line = good(0)
      return `${line.slice(0, -1)}${' '.repeat(length - line.length)}}`
    }
    for (const way of ways) {
      const taken = await send(client, linesFile(purpose, long(most), good(1)), way)
      expect(taken.status).toBe(200)
      const file = linesFile(purpose, long(most + 1), '[]')
      const { details } = await refusedOf(server, client, file, way)
      expect(details).toMatchObject([
        {
          ...{ line: 1, offset: 0, code: 'line_too_long' },
          message: 'This line has more than 16777216 bytes.',
          expected: 'at most 16777216 bytes',
        },
        { line: 2, offset: most + 2, code: 'invalid_json_line' },
      ])
    }
  }, 60_000)
})

describe('a name', () => {
  const file = { purpose: 'batch', filename: 'a.txt', content: `${batchLine()}\n` }

  it('that does not do is a fault among those of the content', async () => {
    const client = await server.addTenant()
    for (const way of ways) {
      const refused = await refusedOf(server, client, file, way)
      expect(refused).toEqual({
        message: 'Invalid file format for Batch API. Must be .jsonl',
        param: null,
        details: [
          {
            ...{ line: null, offset: null, code: 'invalid_extension', param: null },
            message: 'Invalid file format for Batch API. Must be .jsonl',
            expected: 'a name that ends in .jsonl',
          },
        ],
        details_total: 1,
      })
    }
  })
})

describe('the level openai', () => {
  async function refuse(level: TestServer, file: SentFile): Promise<Refused> {
    const [first, ...others] = await Promise.all(
      ways.map(async (way) => readRefused(await send(level, file, way))),
    )
    for (const other of others) expect(other).toEqual(first)
    expect(await level.stored()).toMatchObject({ files: 0, blobs: [], usedBytes: 0 })
    return first ?? expect.fail()
  }

  it('refuses what the vendor refuses at the upload', async () => {
    await using level = await startWith({ COFFER_CONTENT_RULES: 'openai' })
    const batch = 'Invalid file format for Batch API. Must be .jsonl'
    const training = { purpose: 'fine-tune', filename: 'a.jsonl' }
    const marked = await refuse(level, { ...training, content: `\ufeff${trainingLine}\n` })
    expect(marked.message).toMatch('Line 1 is not a dictionary')
    const array = await refuse(level, { ...training, content: `${trainingLine}\n[1]\n` })
    expect(array.message).toBe(noDictionary(2, '[1]'))
    expect(
      await refuse(level, { ...training, filename: 'a.JSONL', content: '{}\n' }),
    ).toMatchObject({
      message: 'Invalid file format for Fine-Tuning API. Must be .jsonl',
    })
    for (const content of ['', '{"a":\n{}\n', `\ufeff${batchLine()}\n`]) {
      const file = { purpose: 'batch', filename: 'a.jsonl', content }
      expect((await refuse(level, file)).message).toMatch(batch)
    }
    const upper = { purpose: 'assistants', filename: 'a.DOCX', content: 'x' }
    expect((await refuse(level, upper)).message).toBe(
      'Invalid extension DOCX. Supported formats: "c", "cpp", "css", "csv", "doc", "docx", "gif", ' +
        '"go", "html", "java", "jpeg", "jpg", "js", "json", "md", "pdf", "php", "pkl", "png", ' +
        '"pptx", "py", "rb", "tar", "tex", "ts", "txt", "webp", "xlsx", "xml", "zip"',
    )
  })

  it('takes what the vendor stumbles on later', async () => {
    await using level = await startWith({
      COFFER_CONTENT_RULES: 'openai',
      COFFER_MAX_BATCH_BYTES: '9',
    })
    const files: SentFile[] = [
      linesFile('batch', '{}', 'nonsense', '', '[]'),
      linesFile('fine-tune', '{"messages":[]}'),
      linesFile('evals', '{}'),
      { purpose: 'assistants', filename: 'a.pdf', content: 'no PDF' },
      { purpose: 'vision', filename: 'a.txt', content: 'no image' },
    ]
    for (const file of files) {
      for (const way of ways) expect((await send(level, file, way)).status).toBe(200)
    }
  })
})

describe('the level off', () => {
  it('takes any content under any name', async () => {
    await using level = await startWith({
      COFFER_CONTENT_RULES: 'off',
      COFFER_MAX_BATCH_BYTES: '9',
    })
    for (const purpose of ['fine-tune', 'batch', 'evals', 'assistants', 'vision', 'user_data']) {
      for (const way of ways) {
        const file = { purpose, filename: 'a.exe', content: Buffer.from([0x5b, 0x0a, 0xff, 0]) }
        const response = await send(level, file, way)
        expect(response.status).toBe(200)
        const created = File.parse(await response.json())
        expect(created).not.toHaveProperty('num_lines')
      }
    }
  })
})

describe('the level strict', () => {
  it('asks for a shape of training lines that is known', async () => {
    const file = linesFile('fine-tune', trainingLine, '{"text":"a"}')
    expect((await send(await server.addTenant(), file)).status).toBe(200)
    await using level = await startWith({ COFFER_CONTENT_RULES: 'strict' })
    for (const way of ways) {
      expect((await refusedOf(level, level, file, way)).details).toEqual([
        fault(2, 32, {
          code: 'unknown_shape',
          message: 'This line has the shape of no training example that is known.',
          expected: "'messages', 'prompt' and 'completion', or 'input' and its outputs",
        }),
      ])
    }
  })
})

describe('a batch', async () => {
  const small = await startWith({ COFFER_MAX_BATCH_BYTES: '100000', COFFER_MAX_BATCH_LINES: '3' })
  afterAll(() => small[Symbol.asyncDispose]())
  const tooLarge = {
    message:
      'The batch input file is larger than the 100000 maximum. Please try again with a smaller batch.',
    param: null,
    details: [
      {
        ...{ line: null, offset: null, code: 'batch_too_large', param: null },
        message:
          'The batch input file is larger than the 100000 maximum. ' +
          'Please try again with a smaller batch.',
        expected: 'at most 100000 bytes',
      },
    ],
    details_total: 1,
  }
  const long = (bytes: number) => {
    const line = batchLine()
    return `${line.slice(0, -1)}${' '.repeat(bytes - line.length - 1)}}`
  }

  it('has as many bytes as may be, and no more', async () => {
    for (const way of ways) {
      const client = await small.addTenant()
      expect((await send(client, linesFile('batch', long(100_000)), way)).status).toBe(200)
      const refused = await refusedOf(small, client, linesFile('batch', long(100_001)), way)
      expect(refused).toEqual(tooLarge)
    }
  })

  it('of more is refused while it is sent, where its purpose came first', async () => {
    const before = await small.stored()
    const connection = await small.connect()
    const multipart = 'Content-Type: multipart/form-data; boundary=cut-here'
    connection.write(createHead(small.apiKey, multipart, `Content-Length: ${100 * MiB}`))
    const body = formBody('cut-here', [
      fieldPart('purpose', 'batch'),
      filePart(long(150_000), '; filename="a.jsonl"'),
    ])
    connection.write(body.subarray(0, -40))
    expect(await readRefused(await connection.answer())).toEqual(tooLarge)
    connection.socket.destroy()
    await once(connection.socket, 'close')
    expect(await small.stored()).toEqual(before)
  })

  it('does not hold other purposes to its bounds', async () => {
    const file = linesFile('evals', ...Array.from({ length: 20_000 }, () => evalLine))
    for (const way of ways) expect((await send(small, file, way)).status).toBe(200)
  })

  it('has as many requests as may be, and no more', async () => {
    const lines = ['a', 'b', 'c', 'd', 'e'].map((id) => batchLine(id))
    for (const way of ways) {
      const client = await small.addTenant()
      expect((await send(client, linesFile('batch', ...lines.slice(0, 3)), way)).status).toBe(200)
      const refused = await refusedOf(small, client, linesFile('batch', ...lines), way)
      expect(refused.details).toEqual([
        fault(4, 3 * (lines[0]?.length ?? 0) + 3, {
          ...{ code: 'too_many_requests', message: 'A batch has at most 3 requests.' },
          expected: 'at most 3 requests',
        }),
      ])
    }
  })
})

describe('uploads at the same time', () => {
  it('are told apart', async () => {
    const client = await server.addTenant()
    const files = Array.from({ length: 12 }, (_, number) => {
      const purpose = ['fine-tune', 'batch', 'evals'][number % 3] ?? ''
      const good = { 'fine-tune': () => trainingLine, evals: () => evalLine, batch: batchLine }
      const make = good[purpose as keyof typeof good]
      const lines = Array.from({ length: 20_000 }, (_line, at) => make(`${at}`))
      lines.splice(1000 * (number + 1), 1, '[]')
      return linesFile(purpose, ...lines)
    })
    const answers = await Promise.all(
      files.map((file, number) => send(client, file, ways[number % ways.length])),
    )
    const told = await Promise.all(answers.map(readRefused))
    expect(told.map(({ details }) => details.map(({ line }) => line))).toEqual(
      files.map((_, number) => [1000 * (number + 1) + 1]),
    )
    expect(await client.usedBytes()).toBe(0)
  })
})

describe('nasty lines', () => {
  const deep = (length: number, open: string, close: string) =>
    open.repeat(length) + close.repeat(length)
  const item = (value: string) => `{"item":{"a":${value}}}`

  /** What there is to be said of each; `undefined` where it may stay. */
  const corpus: readonly (readonly [string, string | Buffer, string | undefined])[] = [
    ['nested deep', `${item(deep(5_000, '[', ']'))}\n`, undefined],
    ['nested far too deep', `${item(deep(500_000, '[', ']'))}\n`, undefined],
    ['objects nested far too deep', `${deep(300_000, '{"item":', '}')}\n`, 'invalid_json_line'],
    ['with a name twice', '{"item":1,"item":{}}\n', undefined],
    ['with half a surrogate pair, escaped', `${item('"\\ud800"')}\n`, undefined],
    ['with huge numbers', `${item(`1e999,"b":-${'9'.repeat(100_000)}`)}\n`, undefined],
    ['with __proto__', '{"__proto__":{"item":{}}}\n', 'missing_required_parameter'],
    ['with __proto__ and an item', '{"__proto__":1,"constructor":2,"item":{}}\n', undefined],
    ['of nothing', '\n\n\n{"item":{}}\n', 'empty_line'],
    ['with NUL', '{"item":{}}\0\n', 'invalid_json_line'],
    ['of NUL', '\0'.repeat(MiB), 'invalid_json_line'],
    ['that are no UTF-8', Buffer.from('{"item":{"a":"\xff"}}\n', 'latin1'), 'invalid_utf8'],
    [
      'with half a character at the end',
      Buffer.concat([Buffer.from('{"item":{}}\n{"item":{"a":"'), Buffer.of(0xe4, 0xb8)]),
      'invalid_utf8',
    ],
    ['of 16 MiB of [', `${'['.repeat(16 * MiB)}\n`, 'line_too_complex'],
    ['of 16 MiB of {},', `${item(`[${'{},'.repeat(5 * MiB)}{}]`)}\n`, 'line_too_complex'],
    ['of 16 MiB of quotes', `${'"'.repeat(16 * MiB)}\n`, 'invalid_json_line'],
    ['of 16 MiB of \\', `{"item":"${'\\'.repeat(16 * MiB - 20)}\n`, 'invalid_json_line'],
    ['of 8 MiB of line ends', '\n'.repeat(8 * MiB), 'empty_file'],
    ['of 8 MiB of line ends and more', `${'\n'.repeat(8 * MiB)}{"item":{}}`, 'empty_line'],
    ['of 64 MiB without an end', `{"item":{"a":"${'x'.repeat(64 * MiB)}`, 'line_too_long'],
  ]

  it.each(corpus)(
    '%s do no harm',
    async (_, content, code) => {
      const client = await server.addTenant()
      let peak = 0
      const before = process.memoryUsage.rss()
      const watch = setInterval(() => {
        peak = Math.max(peak, process.memoryUsage.rss() - before)
      }, 10)
      for (const way of ways) {
        const response = await send(client, { purpose: 'evals', filename: 'a.jsonl', content }, way)
        if (code === undefined && response.status === 200) continue
        const { details } = await readRefused(response)
        expect(details[0]?.code).toBe(code ?? 'invalid_json_line')
      }
      for (const purpose of ['fine-tune', 'batch']) {
        const response = await send(client, { purpose, filename: 'a.jsonl', content })
        expect([200, 400]).toContain(response.status)
      }
      clearInterval(watch)
      expect(peak).toBeLessThan(1024 * MiB)
      expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
    },
    60_000,
  )

  it('that are no UTF-8 are found wherever the network cuts them', async () => {
    const client = await server.addTenant()
    for (const [bytes, status] of [
      [Buffer.from('漢'), 200],
      [Buffer.from('漢').subarray(0, 2), 400],
      [Buffer.of(0xed, 0xa0, 0x80), 400],
      [Buffer.of(0xc0, 0x80), 400],
    ] as const) {
      for (const padding of [0, 1, 2, 64 * KiB - 14, MiB - 16, MiB - 15, MiB - 14]) {
        const content = Buffer.concat([
          Buffer.from(`{"item":{"a":"${'x'.repeat(padding)}`),
          bytes,
          Buffer.from('"}}\n'),
        ])
        const response = await send(client, { purpose: 'evals', filename: 'a.jsonl', content })
        expect(response.status).toBe(status)
        if (status === 400) {
          expect((await readRefused(response)).details).toMatchObject([
            { line: 1, offset: 0, code: 'invalid_utf8', expected: 'UTF-8' },
          ])
        }
      }
    }
  })
})
