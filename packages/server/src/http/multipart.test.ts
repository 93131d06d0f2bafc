import { once } from 'node:events'
import { Busboy } from '@fastify/busboy'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readMultipart } from './multipart.ts'
import { MultipartError, type MultipartErrorCode } from './multipart-error.ts'

// Bodies and contents stand here as strings of one character a byte.
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const utf8 = (text: string) => latin1(Buffer.from(text))
const lines = (...line: string[]) => line.join('\r\n')
const field = (name: string) => `Content-Disposition: form-data; name="${name}"`
const file = (name: string, filename: string) => `${field(name)}; filename="${filename}"`

const boundary = 'cut-here'
const KiB = 1024

interface ReadPart {
  name: string
  filename: string | undefined
  content: string
}

interface Outcome {
  parts: ReadPart[]
  error: MultipartErrorCode | undefined
}

interface Form {
  title: string
  boundary?: string
  body: string
  /** Name, file name and content of each part, the last one as far as it was read. */
  parts: [name: string, filename: string | undefined, content: string][]
  error?: MultipartErrorCode
}

/** A form of one file with this content. */
const fileForm = (content: string) =>
  lines('--cut-here', file('file', 'f'), '', content, '--cut-here--', '')

/** The parts of a form, one after the other, named by their place. */
const fieldsForm = (...contents: string[]) =>
  lines(
    ...contents.flatMap((content, at) => ['--cut-here', field(String(at)), '', content]),
    '--cut-here--',
    '',
  )

const officialForms: Form[] = [
  {
    title: 'reads the form of the Python SDK, with the file last and its name in plain UTF-8',
    boundary: 'd3a9f3b7c1e84b0f9a6d5c2e1f0b8a77',
    body: lines(
      '--d3a9f3b7c1e84b0f9a6d5c2e1f0b8a77',
      'Content-Disposition: form-data; name="purpose"',
      '',
      'batch',
      '--d3a9f3b7c1e84b0f9a6d5c2e1f0b8a77',
      'Content-Disposition: form-data; name="expires_after[anchor]"',
      '',
      'created_at',
      '--d3a9f3b7c1e84b0f9a6d5c2e1f0b8a77',
      'Content-Disposition: form-data; name="expires_after[seconds]"',
      '',
      '3600',
      '--d3a9f3b7c1e84b0f9a6d5c2e1f0b8a77',
      utf8('Content-Disposition: form-data; name="file"; filename="né %22中%22.jsonl"'),
      'Content-Type: application/octet-stream',
      '',
      '{"a":1}\n{"a":2}\n',
      '--d3a9f3b7c1e84b0f9a6d5c2e1f0b8a77--',
      '',
    ),
    parts: [
      ['purpose', undefined, 'batch'],
      ['expires_after[anchor]', undefined, 'created_at'],
      ['expires_after[seconds]', undefined, '3600'],
      ['file', 'né "中".jsonl', '{"a":1}\n{"a":2}\n'],
    ],
  },
  {
    title: 'reads the form of undici, as the Node SDK 5 to 7 sends a Blob',
    boundary: '----formdata-undici-081230952143',
    body: lines(
      '------formdata-undici-081230952143',
      'Content-Disposition: form-data; name="file"; filename="unknown_file"',
      'Content-Type: application/octet-stream',
      '',
      '\0\r\n\xff',
      '------formdata-undici-081230952143',
      'Content-Disposition: form-data; name="purpose"',
      '',
      'assistants',
      '------formdata-undici-081230952143--',
      '',
    ),
    parts: [
      ['file', 'unknown_file', '\0\r\n\xff'],
      ['purpose', undefined, 'assistants'],
    ],
  },
  {
    title: 'reads the form of the Node SDK 4, with a line end after the closing boundary line',
    boundary: 'form-data-boundary-l2xk3v9q0w',
    body: lines(
      '--form-data-boundary-l2xk3v9q0w',
      'Content-Disposition: form-data; name="purpose"',
      '',
      'fine-tune',
      '--form-data-boundary-l2xk3v9q0w',
      'Content-Disposition: form-data; name="file"; filename="t.jsonl"',
      'Content-Type: application/octet-stream',
      '',
      '{}',
      '--form-data-boundary-l2xk3v9q0w--',
      '',
      '',
    ),
    parts: [
      ['purpose', undefined, 'fine-tune'],
      ['file', 't.jsonl', '{}'],
    ],
  },
  {
    title: 'reads the form of the Go SDK, with the file between its fields',
    boundary: '9b1f7c0e5a2d4e8f6b3c1a0d9e8f7c6b5a4d3e2f1c0b9a8d7e6f5c4b3a2d',
    body: lines(
      '--9b1f7c0e5a2d4e8f6b3c1a0d9e8f7c6b5a4d3e2f1c0b9a8d7e6f5c4b3a2d',
      'Content-Disposition: form-data; name="expires_after[anchor]"',
      '',
      'created_at',
      '--9b1f7c0e5a2d4e8f6b3c1a0d9e8f7c6b5a4d3e2f1c0b9a8d7e6f5c4b3a2d',
      'Content-Disposition: form-data; name="file"; filename="anonymous_file"',
      'Content-Type: application/octet-stream',
      '',
      'a\tb',
      '--9b1f7c0e5a2d4e8f6b3c1a0d9e8f7c6b5a4d3e2f1c0b9a8d7e6f5c4b3a2d',
      'Content-Disposition: form-data; name="purpose"',
      '',
      'user_data',
      '--9b1f7c0e5a2d4e8f6b3c1a0d9e8f7c6b5a4d3e2f1c0b9a8d7e6f5c4b3a2d--',
      '',
    ),
    parts: [
      ['expires_after[anchor]', undefined, 'created_at'],
      ['file', 'anonymous_file', 'a\tb'],
      ['purpose', undefined, 'user_data'],
    ],
  },
  {
    title: 'reads the form of the Java SDK, with no file name and a charset on its text',
    boundary: 'a7Hq2_ZkP0',
    body: lines(
      '--a7Hq2_ZkP0',
      'Content-Disposition: form-data; name="file"',
      'Content-Type: application/octet-stream',
      '',
      'bytes of a stream',
      '--a7Hq2_ZkP0',
      'Content-Disposition: form-data; name="purpose"',
      'Content-Type: text/plain; charset=utf-8',
      '',
      'vision',
      '--a7Hq2_ZkP0--',
      '',
    ),
    parts: [
      ['file', undefined, 'bytes of a stream'],
      ['purpose', undefined, 'vision'],
    ],
  },
  {
    title: 'reads the form of the Ruby SDK, with an empty content type and lengths of its parts',
    boundary: '-----------RubyMultipartPost-0d1e2f',
    body: lines(
      '-------------RubyMultipartPost-0d1e2f',
      'Content-Disposition: form-data; name="file"; filename="f.jsonl"',
      'Content-Length: 3',
      'Content-Type: ',
      'Content-Transfer-Encoding: binary',
      '',
      '{}\n',
      '-------------RubyMultipartPost-0d1e2f',
      'Content-Disposition: form-data; name="purpose"',
      '',
      'batch',
      '-------------RubyMultipartPost-0d1e2f--',
      '',
    ),
    parts: [
      ['file', 'f.jsonl', '{}\n'],
      ['purpose', undefined, 'batch'],
    ],
  },
  {
    title: 'reads the form of curl, with escaped quotes in the file name',
    boundary: '------------------------d74496d66958873e',
    body: lines(
      '--------------------------d74496d66958873e',
      'Content-Disposition: form-data; name="purpose"',
      '',
      'evals',
      '--------------------------d74496d66958873e',
      'Content-Disposition: form-data; name="file"; filename="a \\"b\\".txt"',
      'Content-Type: text/plain',
      '',
      'text\r\n',
      '--------------------------d74496d66958873e--',
      '',
    ),
    parts: [
      ['purpose', undefined, 'evals'],
      ['file', 'a "b".txt', 'text\r\n'],
    ],
  },
]

const oddForms: Form[] = [
  {
    title: 'reads a form that ends with its closing boundary',
    body: lines('--cut-here', field('a'), '', 'x', '--cut-here--'),
    parts: [['a', undefined, 'x']],
  },
  {
    title: 'reads a form whose last line ends in a lone LF',
    body: `${lines('--cut-here', field('a'), '', 'x', '--cut-here--')}\n`,
    parts: [['a', undefined, 'x']],
  },
  { title: 'reads a form of no parts', body: '--cut-here--\r\n', parts: [] },
  {
    title: 'reads empty contents',
    body: fieldsForm('', '', 'x', ''),
    parts: [
      ['0', undefined, ''],
      ['1', undefined, ''],
      ['2', undefined, 'x'],
      ['3', undefined, ''],
    ],
  },
  {
    title: 'reads a part that ends with its headers as empty',
    body: lines('--cut-here', field('a'), '', '--cut-here', field('b'), '', 'x', '--cut-here--'),
    parts: [
      ['a', undefined, ''],
      ['b', undefined, 'x'],
    ],
  },
  ...[
    ...['\r', '\n', '\r\n', '\n\r', '\r\r', '\n\n', '\r\n\r\n', '\r\r\n', '\r\n\n', '-', '--'],
    ...['\r\n-', '\r\n--', '\r\n--cut', '\r\n--cut-her', '\r--cut-here', '\n--cut-here'],
  ].map((edge) => ({
    title: `keeps ${JSON.stringify(edge)} at either end of a content and alone`,
    body: fieldsForm(edge, `${edge}x${edge}`, `x${edge}`, `${edge}x`),
    parts: [edge, `${edge}x${edge}`, `x${edge}`, `${edge}x`].map(
      (content, at): Form['parts'][number] => [String(at), undefined, content],
    ),
  })),
  ...[
    ['a line that starts with the boundary', 'x\r\n--cut-herex\r\ny'],
    ['a line that starts with the boundary and a dash', 'x\r\n--cut-here-\r\n--cut-here-y\r\n'],
    ['a first line that starts with the boundary', '--cut-herex\r\n'],
    ['a last line that starts with the boundary', 'x\r\n--cut-here-'],
    ['a boundary line that ends in a lone LF', 'x\r\n--cut-here\ny'],
    ['a boundary line that ends in a lone CR', 'x\r\n--cut-here\ry'],
    ['a boundary line that ends in two CRs', 'x\r\n--cut-here\r'],
    ['a boundary line after a lone LF', 'x\n--cut-here\r\ny\n--cut-here--'],
    ['a boundary line after a lone CR', 'x\r--cut-here\r\ny\r--cut-here--'],
    ['a boundary line with too many blanks', `x\r\n--cut-here${' '.repeat(65)}\r\ny`],
    ['a boundary line with text behind its blanks', 'x\r\n--cut-here  y\r\nz'],
    ['a line that has the boundary not at its start', 'x\r\n --cut-here--\r\ny'],
    ['a line of the boundary without its dashes', 'x\r\ncut-here\r\n-cut-here--\r\ny'],
    ['a boundary in other case', 'x\r\n--Cut-Here--\r\ny'],
    ['a form whose boundary is the start of ours', '--cut\r\nA: b\r\n\r\nx\r\n--cut--\r\n'],
    ['a form whose boundary goes on after ours', '--cut-here-2\r\n\r\nx\r\n--cut-here-2--\r\n'],
  ].map(
    ([what = '', content = '']): Form => ({
      title: `keeps ${what} as content`,
      body: fileForm(content),
      parts: [['file', 'f', content]],
    }),
  ),
  {
    title: 'ignores text before the first and after the last boundary line',
    body: `A form follows.\r\n\r\n${fieldsForm('x')}That was it.\r\n--cut-her`,
    parts: [['0', undefined, 'x']],
  },
  {
    title: 'ignores up to 16 KiB before the first and after the last boundary line',
    body: `${'\r\n'.repeat(8190)}\r\n${fieldsForm('x')}${'\r\n'.repeat(8191)}`,
    parts: [['0', undefined, 'x']],
  },
  {
    title: 'ignores up to 64 blanks behind a boundary',
    body: lines(`--cut-here${' \t'.repeat(32)}`, field('a'), '', 'x', '--cut-here-- \t', ''),
    parts: [['a', undefined, 'x']],
  },
  {
    title: 'takes a boundary of every special character that RFC 2046 allows',
    boundary: "a'()+_,-./:=? b",
    body: lines("--a'()+_,-./:=? b", field('a'), '', 'x', "--a'()+_,-./:=? b--", ''),
    parts: [['a', undefined, 'x']],
  },
  {
    title: 'reads a header block of 16 KiB',
    body: lines('--cut-here', field('a').padEnd(16 * KiB), '', 'x', '--cut-here--', ''),
    parts: [['a', undefined, 'x']],
  },
  {
    title: 'reads 64 parts',
    body: fieldsForm(...Array<string>(64).fill('')),
    parts: Array.from({ length: 64 }, (_, at) => [String(at), undefined, '']),
  },
  {
    title: 'prefers a file name with a charset',
    body: lines(
      '--cut-here',
      `${file('file', 'n.txt')}; filename*=UTF-8''n%C3%A9%20%E4%B8%AD.txt`,
      '',
      'x',
      '--cut-here--',
      '',
    ),
    parts: [['file', 'né 中.txt', 'x']],
  },
]

const brokenForms: Form[] = [
  { title: 'refuses an empty body', body: '', parts: [], error: 'truncated' },
  {
    title: 'refuses a body without its boundary',
    body: fieldsForm('x').replaceAll('cut-here', 'cut-there'),
    parts: [],
    error: 'truncated',
  },
  {
    title: 'refuses a form without its closing boundary',
    body: lines('--cut-here', field('a'), '', 'x', '--cut-here', field('b'), '', 'y', ''),
    parts: [
      ['a', undefined, 'x'],
      ['b', undefined, 'y'],
    ],
    error: 'truncated',
  },
  {
    title: 'refuses a form whose closing boundary has one dash',
    body: lines('--cut-here', field('a'), '', 'x', '--cut-here-'),
    parts: [['a', undefined, 'x']],
    error: 'truncated',
  },
  {
    title: 'refuses a form that ends in its headers',
    body: lines('--cut-here', field('a'), ''),
    parts: [],
    error: 'truncated',
  },
  {
    title: 'refuses text in the line of the closing boundary, for it may be content',
    body: fileForm('x\r\n--cut-here--y\r\nz'),
    parts: [['file', 'f', 'x']],
    error: 'malformed',
  },
  {
    title: 'refuses text behind blanks in the line of the closing boundary',
    body: fileForm('x\r\n--cut-here-- \t y\r\nz'),
    parts: [['file', 'f', 'x']],
    error: 'malformed',
  },
  {
    title: 'refuses a lone CR behind the closing boundary',
    body: fileForm('x\r\n--cut-here--\ry'),
    parts: [['file', 'f', 'x']],
    error: 'malformed',
  },
  {
    title: 'refuses a part without headers',
    body: lines('--cut-here', '', 'x', '--cut-here', field('a'), '', 'y', '--cut-here--', ''),
    parts: [],
    error: 'malformed',
  },
  {
    title: 'refuses a boundary line among the headers',
    body: lines('--cut-here', field('a'), '--cut-here', 'A: b', '', 'x', '--cut-here--', ''),
    parts: [],
    error: 'malformed',
  },
  {
    title: 'refuses a boundary line among the headers that looks like a header',
    boundary: 'cut:here',
    body: lines('--cut:here', field('a'), '--cut:here', 'A: b', '', 'x', '--cut:here--', ''),
    parts: [],
    error: 'malformed',
  },
  {
    title: 'refuses headers whose lines end in a lone LF',
    body: lines('--cut-here', `A: b\n${field('a')}`, '', 'x', '--cut-here--', ''),
    parts: [],
    error: 'malformed',
  },
  {
    title: 'refuses a broken part after it gave the whole ones',
    body: lines('--cut-here', field('a'), '', 'x', '--cut-here', 'A: b', '', '', '--cut-here--'),
    parts: [['a', undefined, 'x']],
    error: 'malformed',
  },
  ...[
    ['two Content-Disposition headers', lines(field('a'), field('b'))],
    ['no Content-Disposition header', 'Content-Type: text/plain'],
    ['no name', 'Content-Disposition: form-data; filename="f"'],
    ['a NUL in its name', field('a\0b')],
    ['a NUL in its file name', file('a', 'f\0')],
    ['a name that is not UTF-8', field('\xe9')],
    ['a file name of a broken charset', `${file('a', 'f')}; filename*=UTF-8''%C3`],
    ['a base64 encoding', lines(field('a'), 'Content-Transfer-Encoding: base64')],
  ].map(
    ([what = '', headers = '']): Form => ({
      title: `refuses a part with ${what}`,
      body: lines('--cut-here', headers, '', 'x', '--cut-here--', ''),
      parts: [],
      error: 'malformed',
    }),
  ),
  {
    title: 'refuses a header block of more than 16 KiB',
    body: lines('--cut-here', field('a').padEnd(16 * KiB + 1), '', 'x', '--cut-here--', ''),
    parts: [],
    error: 'header-too-large',
  },
  {
    title: 'refuses a header block that does not end within 16 KiB',
    body: lines('--cut-here', `A: ${'b'.repeat(17_000)}`),
    parts: [],
    error: 'header-too-large',
  },
  {
    title: 'refuses a 65th part',
    body: fieldsForm(...Array<string>(65).fill('')),
    parts: Array.from({ length: 64 }, (_, at) => [String(at), undefined, '']),
    error: 'too-many-parts',
  },
  {
    title: 'refuses more than 16 KiB before the first boundary line',
    body: `${'\r\n'.repeat(8192)}\r\n${fieldsForm('x')}`,
    parts: [],
    error: 'malformed',
  },
  {
    title: 'refuses more than 16 KiB after the last boundary line',
    body: `${fieldsForm('x')}${'\r\n'.repeat(8192)}`,
    parts: [['0', undefined, 'x']],
    error: 'malformed',
  },
]

const forms = [...officialForms, ...oddForms, ...brokenForms].map(
  (form): [string, { boundary: string; body: Buffer; outcome: Outcome }] => [
    form.title,
    {
      boundary: form.boundary ?? boundary,
      body: Buffer.from(form.body, 'latin1'),
      outcome: {
        parts: form.parts.map(([name, filename, content]) => ({ name, filename, content })),
        error: form.error,
      },
    },
  ],
)

describe('readMultipart', () => {
  it.each(forms)('%s', async (_, { body, boundary, outcome }) => {
    expect(await outcomeOf(chunks(body, body.length), boundary)).toEqual(outcome)
  })

  it.each(forms)('%s, wherever it is cut in two', async (_, { body, boundary, outcome }) => {
    for (let at = 0; at <= body.length; at += 1) {
      // One cut in seven is enough for the filler of the forms that come up to a limit.
      if (at % 7 !== 0 && isFiller(body.subarray(Math.max(at - 16, 0), at + 16))) continue
      expectSame(await outcomeOf(chunks(body, at, body.length), boundary), outcome, `cut at ${at}`)
    }
  })

  it.each(forms)('%s, in chunks of 1 to 64 bytes', async (_, { body, boundary, outcome }) => {
    for (let size = 1; size <= 64; size += 1) {
      expectSame(await outcomeOf(chunks(body, size), boundary), outcome, `chunks of ${size}`)
    }
  })

  it('calls every form that lacks its end truncated', async () => {
    const body = Buffer.from(lines('--cut-here', file('a', 'f'), '', 'x\r\n', '--cut-here--'))
    for (let end = 0; end < body.length; end += 1) {
      const { error } = await outcomeOf(chunks(body.subarray(0, end), end + 1), boundary)
      expect(error, `the first ${end} bytes`).toBe('truncated')
    }
  })

  it('gives back every form that can be sent, byte by byte', async () => {
    await fc.assert(
      fc.asyncProperty(sentForms, chunkSizes, async (parts, sizes) => {
        const body = Buffer.from(encode(parts), 'latin1')
        expect(await outcomeOf(chunks(body, ...sizes), boundary)).toEqual({
          parts,
          error: undefined,
        })
      }),
      { numRuns: 2_000 },
    )
  })

  it('reads a mutated form alike however it is cut, and throws only a MultipartError', async () => {
    await fc.assert(
      fc.asyncProperty(mutatedForms, chunkSizes, async (text, sizes) => {
        const body = Buffer.from(text, 'latin1')
        const whole = await outcomeOf(chunks(body, body.length), boundary)
        expect(await outcomeOf(chunks(body, ...sizes), boundary)).toEqual(whole)
      }),
      { numRuns: 4_000 },
    )
  })

  it('accepts a mutated form only with the contents that a strict reader finds', async () => {
    await fc.assert(
      fc.asyncProperty(mutatedForms, async (text) => {
        const body = Buffer.from(text, 'latin1')
        const { parts, error } = await outcomeOf(chunks(body, body.length), boundary)
        if (error === undefined) expect(parts.map(({ content }) => content)).toEqual(strictly(text))
      }),
      { numRuns: 4_000 },
    )
  })

  it('agrees with busboy where no line of a content starts with the boundary', async () => {
    await fc.assert(
      fc.asyncProperty(plainForms, chunkSizes, async (parts, sizes) => {
        const body = Buffer.from(encode(parts), 'latin1')
        const { parts: ours } = await outcomeOf(chunks(body, ...sizes), boundary)
        expect(ours).toEqual(await readWithBusboy(body))
      }),
      { numRuns: 500 },
    )
  })
})

describe('a reader of a form', () => {
  const contents = ['first', 'x\r\n--cut-hereafter\r\n'.repeat(20), '', 'last']
  const body = Buffer.from(fieldsForm(...contents))

  it('gets every part right when it reads none', async () => {
    for (let size = 1; size <= 64; size += 1) {
      const names: string[] = []
      for await (const { name } of readMultipart(chunks(body, size), boundary)) names.push(name)
      expect(names, `chunks of ${size}`).toEqual(['0', '1', '2', '3'])
    }
  })

  it('gets the other parts right when it leaves one after its first bytes', async () => {
    for (let size = 1; size <= 64; size += 1) {
      const read: string[] = []
      for await (const part of readMultipart(chunks(body, size), boundary)) {
        let content = ''
        for await (const bytes of part.body) {
          content += latin1(bytes)
          if (part.name === '1') break
        }
        read.push(part.name === '1' ? 'left' : content)
      }
      expect(read, `chunks of ${size}`).toEqual(['first', 'left', '', 'last'])
    }
  })

  it('gets the next part right when it asks for it while one is half read', async () => {
    for (let size = 1; size <= 64; size += 1) {
      const form = readMultipart(chunks(body, size), boundary)
      const half = await form.next()
      await half.value?.body[Symbol.asyncIterator]().next()
      expect((await form.next()).value?.name, `chunks of ${size}`).toBe('1')
      await form.return()
    }
  })

  it('gets the bytes that stood before a broken end', async () => {
    const cut = chunks(Buffer.from(fileForm('whole')).subarray(0, -18), 1_000)
    const { parts } = await outcomeOf(cut, boundary)
    expect(parts).toEqual([{ name: 'file', filename: 'f', content: 'who' }])
  })

  it('gets the error of the source wherever that fails', async () => {
    const failure = new Error('The socket broke.')
    for (let end = 0; end <= body.length; end += 1) {
      async function* source() {
        yield body.subarray(0, end)
        throw failure
      }
      await expect(outcomeOf(source(), boundary), `after ${end} bytes`).rejects.toBe(failure)
    }
  })

  it('gets the error of the source also for a part it does not read', async () => {
    const failure = new Error('The socket broke.')
    async function* source() {
      yield body.subarray(0, 200)
      throw failure
    }
    const form = readMultipart(source(), boundary)
    await form.next()
    await form.next()
    await expect(form.next()).rejects.toBe(failure)
  })
})

describe('the source of a form', () => {
  const body = Buffer.from(fieldsForm('x'.repeat(100), 'y'))

  it('is not read before a part is asked for', async () => {
    const source = watch(chunks(body, 10))
    const form = readMultipart(source, boundary)
    expect(source.pulled).toBe(0)
    await form.return()
  })

  it('is closed when its reader stops between parts', async () => {
    const source = watch(chunks(body, 10))
    for await (const _ of readMultipart(source, boundary)) break
    expect(source.returned).toBe(true)
  })

  it('is closed when its reader stops within a part', async () => {
    const source = watch(chunks(body, 10))
    for await (const part of readMultipart(source, boundary)) {
      for await (const _ of part.body) break
      break
    }
    expect(source.returned).toBe(true)
  })

  it('is closed when its reader fails', async () => {
    const source = watch(chunks(body, 10))
    const failure = new Error('The disk is full.')
    const reading = (async () => {
      for await (const _ of readMultipart(source, boundary)) throw failure
    })()
    await expect(reading).rejects.toBe(failure)
    expect(source.returned).toBe(true)
  })

  it('is closed when the form is malformed', async () => {
    const source = watch(chunks(Buffer.from('--cut-here\r\nno header\r\n\r\nx\r\ny'), 30))
    expect(await outcomeOf(source, boundary)).toEqual({ parts: [], error: 'malformed' })
    expect(source.returned).toBe(true)
  })

  it('is read to its end behind the closing boundary', async () => {
    const source = watch(chunks(Buffer.from(`${fieldsForm('x')}the end`), 10))
    await outcomeOf(source, boundary)
    expect(source.ended).toBe(true)
  })

  it('may give empty chunks', async () => {
    const parts = [{ name: '0', filename: undefined, content: 'x\r\n' }]
    const source = chunks(Buffer.from(fieldsForm('x\r\n')), 1, 0, 0)
    expect(await outcomeOf(source, boundary)).toEqual({ parts, error: undefined })
  })

  it('is never more than two chunks ahead of the bytes given out', async () => {
    const chunk = Buffer.alloc(64 * KiB, '\r\n--cut-here-')
    let pulled = 0
    let given = 0
    async function* source() {
      yield Buffer.from(lines('--cut-here', file('file', 'f'), '', ''))
      for (let at = 0; at < KiB; at += 1) {
        pulled += chunk.length
        expect(pulled - given).toBeLessThanOrEqual(2 * chunk.length)
        yield chunk
      }
      yield Buffer.from('\r\n--cut-here--\r\n')
    }
    for await (const part of readMultipart(source(), boundary)) {
      for await (const bytes of part.body) given += bytes.length
    }
    expect(given).toBe(64 * KiB * KiB)
  })
})

/** Everything that can be seen of a form, with the part in which it breaks off. */
async function outcomeOf(source: AsyncIterable<Uint8Array>, boundary: string): Promise<Outcome> {
  const parts: ReadPart[] = []
  try {
    for await (const { name, filename, body } of readMultipart(source, boundary)) {
      const part = { name, filename, content: '' }
      parts.push(part)
      for await (const bytes of body) part.content += latin1(bytes)
    }
    return { parts, error: undefined }
  } catch (error) {
    if (!(error instanceof MultipartError)) throw error
    return { parts, error: error.code }
  }
}

/**
 * Cuts a body into chunks of these sizes, again from the first size after the last. Each is
 * overwritten once the next is asked for.
 */
async function* chunks(body: Uint8Array, ...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < body.length; turn += 1) {
    const end = at + (sizes[turn % sizes.length] ?? body.length)
    const chunk = Uint8Array.from(body.subarray(at, end))
    yield chunk
    chunk.fill(0xff)
    at = end
  }
}

/** Whether the bytes are one or two that follow each other over and over. */
function isFiller(bytes: Buffer): boolean {
  return bytes.length === 32 && bytes.subarray(2).equals(bytes.subarray(0, -2))
}

// Vitest's own comparison is too slow for the hundred thousand cuts that are alike.
function expectSame(actual: Outcome, expected: Outcome, how: string): void {
  const same =
    actual.error === expected.error &&
    actual.parts.length === expected.parts.length &&
    actual.parts.every(({ name, filename, content }, at) => {
      const part = expected.parts[at]
      return name === part?.name && filename === part.filename && content === part.content
    })
  if (!same) expect(actual, how).toEqual(expected)
}

function watch(source: AsyncGenerator<Uint8Array>) {
  return {
    pulled: 0,
    ended: false,
    returned: false,
    [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
      return {
        next: async () => {
          this.pulled += 1
          const next = await source.next()
          this.ended ||= next.done === true
          return next
        },
        return: async () => {
          this.returned = true
          return { done: true, value: undefined }
        },
      }
    },
  }
}

/** Writes a form as browsers do. */
function encode(parts: ReadPart[]): string {
  const quoted = (text: string) =>
    utf8(text.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A'))
  return lines(
    ...parts.flatMap(({ name, filename, content }) => [
      '--cut-here',
      filename === undefined ? field(quoted(name)) : file(quoted(name), quoted(filename)),
      '',
      content,
    ]),
    '--cut-here--',
    '',
  )
}

/**
 * The contents of a form read as a whole and by the letter of RFC 2046, `undefined` where it
 * breaks the rules.
 */
function strictly(body: string): string[] | undefined {
  const delimiter = /\r\n--cut-here(?:(--)[ \t]*(?:\r?\n|$)|[ \t]{0,64}\r\n)/g
  const text = `\r\n${body}`
  const contents: string[] = []
  for (let line = delimiter.exec(text); line !== null; line = delimiter.exec(text)) {
    if (line[1] === '--') return contents
    const headersEnd = text.indexOf('\r\n\r\n', delimiter.lastIndex)
    if (headersEnd === -1) break
    const headers = text.slice(delimiter.lastIndex, headersEnd)
    if (!/^(?:(?!--)[^\s:]+:.*(?:\r\n|$))+$/.test(headers)) break
    delimiter.lastIndex = headersEnd + 2
    const next = delimiter.exec(text)
    if (next === null) break
    contents.push(text.slice(headersEnd + 4, next.index))
    delimiter.lastIndex = next.index
  }
  return undefined
}

async function readWithBusboy(body: Buffer): Promise<ReadPart[]> {
  const parts: ReadPart[] = []
  const busboy = new Busboy({
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    isPartAFile: () => true,
    preservePath: true,
  })
  busboy.on('file', (name, stream, filename: string | undefined) => {
    const part = { name, filename, content: '' }
    parts.push(part)
    stream.on('data', (bytes: Buffer) => {
      part.content += latin1(bytes)
    })
  })
  const finished = once(busboy, 'finish')
  busboy.end(body)
  await finished
  return parts
}

const delimiter = '\r\n--cut-here'

const fragments = fc.oneof(
  fc.constantFrom('\r', '\n', '\r\n', '-', '--', ' ', '\t', ':', '"', 'x', '\0', '\xff'),
  fc.nat(delimiter.length).map((end) => delimiter.slice(0, end)),
  fc.nat(delimiter.length).map((start) => delimiter.slice(start)),
  fc.uint8Array({ maxLength: 8 }).map(latin1),
)

const contents = fc.array(fragments, { maxLength: 12 }).map((all) => all.join(''))

// A backslash, a percent sign and a NUL have no one spelling that all senders share.
const names = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom('"', '\r', '\n', ';', '='),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
    ),
  })
  .filter((name) => !/[\\%\0]/.test(name))

const formsOf = (contents: fc.Arbitrary<string>, names: fc.Arbitrary<string>) =>
  fc.array(
    fc.record({ name: names, filename: fc.option(names, { nil: undefined }), content: contents }),
    { maxLength: 5 },
  )

/** Forms of contents in which their sender saw no line that is the boundary. */
const sentForms = formsOf(
  contents.filter((content) => !/\r\n--cut-here(?:--|[ \t]{0,64}\r\n)/.test(`\r\n${content}\r\n`)),
  names,
)

const plainForms = formsOf(
  contents.filter((content) => !`\r\n${content}`.includes(delimiter)),
  names.filter((name) => /^[^\p{Cc}"]+$/u.test(name)),
)

const chunkSizes = fc
  .array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 10 })
  .filter((sizes) => sizes.some((size) => size > 0))

const mutations = fc.array(
  fc.record({
    at: fc.nat({ max: 1_000 }),
    drop: fc.oneof(fc.constant(0), fc.nat({ max: 4 }), fc.nat({ max: 80 })),
    add: fc.oneof(
      fc.constant(''),
      fragments,
      fc.constantFrom('\r\n--cut-here--', '\r\n--cut-here\r\n', '\r\n\r\n', 'name=', 'filename*='),
    ),
  }),
  { minLength: 1, maxLength: 4 },
)

const mutatedForms = fc.tuple(sentForms, mutations).map(([parts, changes]) =>
  changes.reduce((body, { at, drop, add }) => {
    const start = at % (body.length + 1)
    return body.slice(0, start) + add + body.slice(start + drop)
  }, encode(parts)),
)
