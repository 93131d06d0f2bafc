import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type ContentFault, File } from '@coffer/contract'
import { Document, Packer, Paragraph } from 'docx'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import PdfDocument from 'pdfkit'
import pptxGenJs from 'pptxgenjs'
import { afterAll, describe, expect, it } from 'vitest'
import writeExcelFile from 'write-excel-file/node'
import { type DocumentKind, readDocumentText } from '../src/content-rules/document-text.ts'
import { officeOf, zipOf } from '../src/content-rules/made-archive.ts'
import { refusedOf, type SentFile, send, ways } from './rules.ts'
import { startServer } from './start-server.ts'
import { until } from './until.ts'
import { png } from './valid-content.ts'

/** Its types are those of a CommonJS module, which it is not where it is imported. */
const PptxGenJs = pptxGenJs as unknown as typeof pptxGenJs.default

const MiB = 1024 * 1024
const most = 50
const server = await startServer({ settings: { COFFER_MAX_FILE_TOKENS: String(most) } })
afterAll(() => server[Symbol.asyncDispose]())

async function created(file: SentFile): Promise<File> {
  const client = await server.addTenant()
  const files: File[] = []
  for (const way of ways) {
    const response = await send(client, file, way)
    expect(response.status, await response.clone().text()).toBe(200)
    files.push(File.parse(await response.json()))
  }
  const [first, ...others] = files
  if (first === undefined) expect.fail()
  for (const other of others)
    expect(other).toEqual({ ...first, id: other.id, created_at: other.created_at })
  const { id } = first
  expect(await (await client.fetch(`/v1/files/${id}`)).json()).toEqual(first)
  return first
}

/** What is wrong with it, whichever way it comes. */
async function faultOf(file: SentFile): Promise<ContentFault> {
  const client = await server.addTenant()
  const faults: ContentFault[] = []
  for (const way of ways) {
    const { details, details_total, message, param } = await refusedOf(server, client, file, way)
    expect([details.length, details_total]).toEqual([1, 1])
    const [only] = details
    if (only === undefined) expect.fail()
    expect({ message, param }).toEqual({ message: only.message, param: null })
    faults.push(only)
  }
  const [first, ...others] = faults
  for (const other of others) expect(other).toEqual(first)
  return first ?? expect.fail()
}

function ofFile(code: string, message: string, expected: string): ContentFault {
  return { line: null, offset: null, code, message, param: null, expected }
}

const assistants = (filename: string, content: string | Uint8Array): SentFile => ({
  purpose: 'assistants',
  filename,
  content,
})
const vision = (filename: string, content: string | Uint8Array): SentFile => ({
  purpose: 'vision',
  filename,
  content,
})

async function pdfOf(text: string, options: PDFKit.PDFDocumentOptions = {}): Promise<Buffer> {
  const pdf = new PdfDocument(options)
  pdf.text(text)
  pdf.end()
  return Buffer.concat(await pdf.toArray())
}

function docxOf(text: string): Promise<Buffer> {
  return Packer.toBuffer(new Document({ sections: [{ children: [new Paragraph(text)] }] }))
}

async function pptxOf(text: string): Promise<Buffer> {
  const presentation = new PptxGenJs()
  presentation.addSlide().addText(text)
  const written = await presentation.write({ outputType: 'nodebuffer' })
  if (!(written instanceof Uint8Array)) throw new Error('The presentation was not written.')
  return Buffer.from(written)
}

function xlsxOf(text: string): Promise<Buffer> {
  return writeExcelFile([{ data: [[{ value: text }]], sheet: 'A' }]).toBuffer()
}

async function htmlOf(text: string): Promise<Buffer> {
  return Buffer.from(`<!doctype html><title>T</title><p>${text}</p>`)
}

const office = 'application/vnd.openxmlformats-officedocument'
const documents: readonly {
  kind: DocumentKind
  mime: string
  make: (text: string) => Promise<Buffer>
}[] = [
  { kind: 'pdf', mime: 'application/pdf', make: pdfOf },
  { kind: 'docx', mime: `${office}.wordprocessingml.document`, make: docxOf },
  { kind: 'pptx', mime: `${office}.presentationml.presentation`, make: pptxOf },
  { kind: 'xlsx', mime: `${office}.spreadsheetml.sheet`, make: xlsxOf },
  { kind: 'html', mime: 'text/html', make: htmlOf },
]

async function tokensOf(kind: DocumentKind, content: Buffer): Promise<number> {
  const bytes = content.length
  const read = async (start: number, end: number) => content.subarray(start, end)
  const limits = { pages: 10, unpackedBytes: MiB }
  const text = await Array.fromAsync(readDocumentText(kind, { bytes, read }, limits))
  return countTokens(text.join(''))
}

const short = 'a few words'
/** More bytes than there may be tokens, and fewer tokens. */
const middle = 'internationalization '.repeat(15)
const long = 'word '.repeat(100)
const tooMany = ofFile(
  'too_many_tokens',
  'The file is too large: its text has more than 50 tokens.',
  'at most 50 tokens (o200k_base)',
)

describe.each(documents)('a $kind for assistants', ({ kind, mime, make }) => {
  it('is taken with its tokens, where they have to be counted', async () => {
    const content = await make(middle)
    const tokens = await tokensOf(kind, content)
    expect(tokens).toBeGreaterThan(20)
    expect(tokens).toBeLessThanOrEqual(most)
    const file = await created(assistants(`a.${kind}`, content))
    expect(file).toMatchObject({ mime_type: mime, tokens })
    expect(file).not.toHaveProperty('num_lines')
  })

  it('is taken without them, where the size of its text decides', async () => {
    const file = await created(assistants(`A.${kind.toUpperCase()}`, await make(short)))
    expect(file.mime_type).toBe(mime)
    expect(file).not.toHaveProperty('tokens')
  })

  it('is refused for more tokens than may be', async () => {
    expect(await faultOf(assistants(`a.${kind}`, await make(long)))).toEqual(tooMany)
  })

  it('needs no name in the open profile', async () => {
    const content = await make(middle)
    const { mime_type, tokens } = await created(assistants('file', content))
    // A web page has no mark by which it is told from other text.
    expect(mime_type).toBe(kind === 'html' ? 'text/plain' : mime)
    expect(tokens).toBe(
      kind === 'html' ? countTokens(content.toString()) : await tokensOf(kind, content),
    )
  })
})

describe('text for assistants', () => {
  const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')

  it.each([
    ['ASCII', Buffer.from('text')],
    ['UTF-8', Buffer.from('tëxt 漢字 😀')],
    ['UTF-8 with a byte order mark', Buffer.from('\ufefftext')],
    ['UTF-16, low bytes first', utf16('tëxt 漢字 😀')],
    ['UTF-16, high bytes first', utf16('tëxt 漢字 😀').swap16()],
    ['nothing', Buffer.alloc(0)],
  ])('may be %s', async (_, content) => {
    expect(await created(assistants('a.MD', content))).toMatchObject({ mime_type: 'text/markdown' })
  })

  it.each([
    ['Latin-1', Buffer.from('t\xebxt', 'latin1')],
    ['UTF-16 without a byte order mark', Buffer.from('tëxt 漢字', 'utf16le').subarray(0, -1)],
    ['half a character', Buffer.from('tex漢').subarray(0, -1)],
  ])('may not be %s', async (_, content) => {
    expect(await faultOf(assistants('a.txt', content))).toEqual(
      ofFile(
        'invalid_encoding',
        'The content of a .txt file must be text in UTF-8, ASCII, or UTF-16 with a byte order mark.',
        'text in UTF-8, ASCII, or UTF-16 with a byte order mark',
      ),
    )
  })

  it('may not be UTF-16 that ends in half a character', async () => {
    const content = utf16('text 😀').subarray(0, -2)
    expect(await faultOf(assistants('a.txt', content))).toMatchObject({ code: 'damaged' })
    const odd = utf16('text').subarray(0, -1)
    expect(await faultOf(assistants('a.txt', odd))).toMatchObject({ code: 'damaged' })
  })

  it.each([
    ['UTF-8', Buffer.from(middle)],
    ['UTF-16', utf16(middle)],
  ])('in %s has as many tokens as gpt-tokenizer counts', async (_, content) => {
    const { tokens } = await created(assistants('a.py', content))
    expect(tokens).toBe(countTokens(middle))
  })

  it('has just as many tokens as there may be', async () => {
    const full = 'word'.concat(' word'.repeat(most - 1))
    expect(countTokens(full)).toBe(most)
    expect(await created(assistants('a.txt', full))).toMatchObject({ tokens: most })
    expect(await faultOf(assistants('a.txt', `${full} word`))).toEqual(tooMany)
    expect(await faultOf(assistants('a.txt', utf16(long)))).toEqual(tooMany)
  })

  it('may have the names of special tokens, which are text like any other', async () => {
    const content = '<|endoftext|>'.repeat(6)
    const { tokens } = await created(assistants('a.txt', content))
    expect(tokens).toBe(countTokens(content, { disallowedSpecial: new Set() }))
  })

  it('of many MiB of one letter is answered soon', async () => {
    const content = 'a'.repeat(8 * MiB)
    expect(await faultOf(assistants('a.txt', content))).toEqual(tooMany)
  }, 20_000)
})

describe('the name of a file for assistants', () => {
  it('is of a kind that the vendor takes', async () => {
    expect(await faultOf(assistants('a.exe', 'text'))).toEqual(
      ofFile(
        'invalid_extension',
        'Invalid extension exe. Supported formats: "c", "cpp", "css", "csv", "doc", "docx", ' +
          '"gif", "go", "html", "java", "jpeg", "jpg", "js", "json", "md", "pdf", "php", "pkl", ' +
          '"png", "pptx", "py", "rb", "tar", "tex", "ts", "txt", "webp", "xlsx", "xml", "zip"',
        'one of "c", "cpp", "css", "csv", "doc", "docx", ' +
          '"gif", "go", "html", "java", "jpeg", "jpg", "js", "json", "md", "pdf", "php", "pkl", ' +
          '"png", "pptx", "py", "rb", "tar", "tex", "ts", "txt", "webp", "xlsx", "xml", "zip"',
      ),
    )
  })

  it('does not hide what the content is', async () => {
    const text = 'not what the name says'
    expect(await faultOf(assistants('a.txt', png))).toMatchObject({ code: 'invalid_encoding' })
    expect(await faultOf(assistants('a.pdf', text))).toEqual(
      ofFile(
        'content_differs_from_name',
        'The content is not what the name says: it has not the marks of .pdf.',
        'the content of a .pdf file',
      ),
    )
    expect(await faultOf(assistants('a.gif', '%PDF-1.7'))).toEqual(
      ofFile(
        'content_differs_from_name',
        'The content is not what the name says: it has not the marks of .gif, but those of application/pdf.',
        'the content of a .gif file',
      ),
    )
    for (const extension of ['docx', 'pptx', 'xlsx', 'zip', 'tar', 'png', 'webp', 'jpeg']) {
      const { code } = await faultOf(assistants(`a.${extension}`, text))
      expect(code, extension).toBe('content_differs_from_name')
    }
    expect(await faultOf(assistants('a.pdf', await docxOf(short)))).toMatchObject({
      code: 'content_differs_from_name',
    })
    expect(await faultOf(assistants('a.docx', await pptxOf(short)))).toMatchObject({
      code: expect.stringMatching(/^(content_differs_from_name|damaged)$/),
    })
  })

  it('may say anything of content that has a kind of its own', async () => {
    expect(await created(assistants('a.png', png))).toMatchObject({ mime_type: 'image/png' })
    expect(await created(assistants('a.PKL', randomBytes(99)))).toMatchObject({
      mime_type: 'application/octet-stream',
    })
    expect(await created(assistants('a.zip', zipOf([])))).toMatchObject({
      mime_type: 'application/zip',
    })
    expect(await created(assistants('a.zip', await docxOf(short)))).toMatchObject({
      mime_type: 'application/zip',
    })
  })

  it('is missed in the profile of the vendor, and where the content tells nothing', async () => {
    await using vendor = await startServer({ settings: { COFFER_PROFILE: 'openai' } })
    const file = assistants('notes', 'text')
    expect((await refusedOf(vendor, vendor, file)).message).toMatch(/^Invalid extension \. /)
    const unknown = assistants('file', Buffer.from([0x80, 0xff, 0]))
    expect(await faultOf(unknown)).toMatchObject({ code: 'invalid_extension' })
  })
})

describe('a document that cannot be read', () => {
  it.each(['pdf', 'docx', 'pptx', 'xlsx'] as const)('as it is damaged: %s', async (kind) => {
    const make = documents.find((one) => one.kind === kind)?.make ?? expect.fail()
    const whole = await make(middle)
    const content = kind === 'pdf' ? whole.subarray(0, 300) : whole.subarray(0, whole.length / 2)
    const { code, message, expected } = await faultOf(assistants(`a.${kind}`, content))
    expect({ code, expected }).toEqual({
      code: 'damaged',
      expected: 'a file whose text can be read',
    })
    expect(message).toMatch(/^The document is damaged: .+\.$/)
  })

  it('as it is encrypted', async () => {
    const content = await pdfOf(middle, { userPassword: 'secret' })
    expect(await faultOf(assistants('a.pdf', content))).toEqual(
      ofFile(
        'encrypted',
        'The PDF is encrypted with a password, so that its text cannot be read.',
        'a file whose text can be read',
      ),
    )
  })

  it('as it would unpack to gigabytes', async () => {
    const main = 'word/document.xml'
    const bomb = officeOf(main, {}, [
      { name: main, packed: Buffer.of(3, 0), method: 8, sum: 0, flags: 0, bytes: 0xffff_fffe },
    ])
    const { code, message } = await faultOf(assistants('a.docx', bomb))
    expect({ code, message }).toEqual({
      code: 'unpacks_too_large',
      message: 'The document unpacks to more than 1073741824 bytes, so that its text is not read.',
    })
  })

  it('as its text goes on and on, though it is small', async () => {
    const text = 'boom '.repeat(40_000_000)
    const main = 'word/document.xml'
    const bomb = officeOf(main, {
      [main]: `<w:document><w:body><w:p><w:r><w:t>${text}</w:t></w:r></w:p></w:body></w:document>`,
    })
    expect(bomb.length).toBeLessThan(8 * MiB)
    const began = performance.now()
    const client = await server.addTenant()
    const refused = await refusedOf(server, client, assistants('a.docx', bomb))
    expect(refused.details).toEqual([tooMany])
    expect(performance.now() - began).toBeLessThan(10_000)
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  }, 60_000)
})

describe('a document that takes long', () => {
  it('does not keep the server from stopping in a hurry', async () => {
    await using other = await startServer({ settings: { COFFER_MAX_FILE_TOKENS: '50000000' } })
    const main = 'word/document.xml'
    const text = 'Größer 漢字 😀 '.repeat(10 * MiB)
    const slow = officeOf(main, {
      [main]: `<w:document><w:body><w:p><w:r><w:t>${text}</w:t></w:r></w:p></w:body></w:document>`,
    })
    let isAnswered = false
    const answer = send(other, assistants('a.docx', slow)).catch(() => undefined)
    void answer.then(() => {
      isAnswered = true
    })
    await until(async () => (await other.stored()).looseBlobs === 1)
    // Long enough for the reading to begin; it takes many seconds.
    await delay(1000)
    expect(isAnswered).toBe(false)
    const began = performance.now()
    await other.stop(AbortSignal.abort())
    expect(performance.now() - began).toBeLessThan(5_000)
    await answer
  }, 30_000)
})

describe('an image for vision', () => {
  const images: readonly (readonly [string, Buffer])[] = [
    ['image/png', png],
    ['image/jpeg', Buffer.from('ffd8ffe000104a46494600010100000100010000ffd9', 'hex')],
    [
      'image/gif',
      Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'),
    ],
    ['image/webp', Buffer.from('UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==', 'base64')],
  ]

  it.each(images)('may be %s, whatever its name', async (mime_type, content) => {
    for (const name of ['a.png', 'a.jpg', 'A.WEBP', 'a.txt', 'file', 'a.jsonl']) {
      expect(await created(vision(name, content))).toMatchObject({ filename: name, mime_type })
    }
  })

  it.each([
    ['text', 'text', ''],
    ['nothing', '', ''],
    ['a BMP', Buffer.concat([Buffer.from('BM'), Buffer.alloc(60)]), ', but image/bmp'],
    ['half a mark', png.subarray(0, 4), ''],
    ['an archive', zipOf([]), ', but application/zip'],
  ])('may not be %s', async (_, content, found) => {
    expect(await faultOf(vision('a.png', content))).toEqual(
      ofFile(
        'unsupported_image',
        `The content is not a PNG, JPEG, GIF or WebP image${found}.`,
        'a PNG, JPEG, GIF or WebP image',
      ),
    )
  })
})

describe('any other file', () => {
  it('is of the type that its name tells, or its encoding', async () => {
    for (const [filename, content, mime_type] of [
      ['a.pdf', 'no PDF', 'application/pdf'],
      ['a.mp3', 'x', 'audio/mpeg'],
      ['a.JSONL', '[', 'application/jsonl'],
      ['file', 'text', 'text/plain'],
      ['file', Buffer.of(0xff), 'application/octet-stream'],
    ] as const) {
      const file = await created({ purpose: 'user_data', filename, content })
      expect(file.mime_type).toBe(mime_type)
      expect(file).not.toHaveProperty('tokens')
      expect(file).not.toHaveProperty('num_lines')
    }
  })
})
