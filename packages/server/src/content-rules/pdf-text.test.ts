import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { deflateSync } from 'node:zlib'
import PdfDocument from 'pdfkit'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type DocumentLimits, type RandomAccess, readDocumentText } from './document-text.ts'

const MiB = 1024 * 1024
const limits: DocumentLimits = { pages: 5_000, unpackedBytes: 64 * MiB }

describe('the text of a PDF', () => {
  // What the library says of a document would stand in the log of the server.
  const rejected: unknown[] = []
  const note = (reason: unknown) => void rejected.push(reason)
  beforeEach(() => {
    for (const way of ['log', 'warn', 'error', 'info'] as const) vi.spyOn(console, way)
    process.on('unhandledRejection', note)
  })
  afterEach(() => {
    process.off('unhandledRejection', note)
    for (const way of ['log', 'warn', 'error', 'info'] as const) {
      expect(console[way]).not.toHaveBeenCalled()
    }
    expect(rejected).toEqual([])
    vi.restoreAllMocks()
  })

  it('is that of its pages in their order', async () => {
    const pdf = await makePdf({}, (page) => {
      page.text('The first line.').text('The second line.').addPage().text('The second page.')
    })
    expect(await textOf(pdf)).toBe('The first line.\nThe second line.\nThe second page.\n')
  })

  it('may be of any script', async () => {
    const pdf = await makePdf({}, (page) => {
      page.font(fontOf('cyrillic')).text('Привет мир')
      page.font(fontOf('greek')).text('Καλημέρα κόσμε')
    })
    expect(await textOf(pdf)).toBe('Привет мир\nΚαλημέρα κόσμε\n')
  })

  it.each([
    ['90ms-RKSJ-H', '93fa967b8cea', 'Japan1', '日本語'],
    ['GBK-EUC-H', 'd6d0cec4', 'GB1', '中文'],
    ['Identity-H', '0e6e0e6f', 'Japan1', '棒冒'],
  ])('may be written in %s, by a font that is not embedded', async (encoding, hex, order, text) => {
    expect(await textOf(eastAsianPdf(encoding, hex, order))).toBe(`${text}\n`)
  })

  it('is read where only changing the PDF needs a password', async () => {
    const options = { ownerPassword: 'owner', permissions: { copying: false } }
    for (const version of ['1.3', '1.4', '1.7', '1.7ext3'] as const) {
      const pdf = await makePdf({ ...options, pdfVersion: version }, (page) => page.text('Open'))
      expect(await textOf(pdf), version).toBe('Open\n')
    }
  })

  it('is refused where reading it needs a password', async () => {
    for (const version of ['1.3', '1.7ext3'] as const) {
      const options = { userPassword: 'user', pdfVersion: version }
      const pdf = await makePdf(options, (page) => page.text('Secret'))
      await expect(textOf(pdf)).rejects.toMatchObject({
        code: 'encrypted',
        message: 'The PDF is encrypted with a password, so that its text cannot be read.',
      })
    }
  })

  it('is found in 3,000 pages', async () => {
    const pdf = await makePdf({}, (page) => {
      page.text('Page 1')
      for (let number = 2; number <= 3_000; number += 1) page.addPage().text(`Page ${number}`)
    })
    const text = await textOf(pdf)
    expect(text).toBe(Array.from({ length: 3_000 }, (_, at) => `Page ${at + 1}\n`).join(''))
    await expect(textOf(pdf, { ...limits, pages: 2_999 })).rejects.toMatchObject({
      code: 'too_many_pages',
      message: 'The PDF has 3000 pages; the text of at most 2999 is read.',
    })
  })

  it('is refused where it is more than may be unpacked', async () => {
    const pdf = await makePdf({}, (page) => page.text('word '.repeat(10_000)))
    await expect(textOf(pdf, { ...limits, unpackedBytes: 20_000 })).rejects.toMatchObject({
      code: 'unpacks_too_large',
    })
  })

  it('ends in a clear error wherever a PDF is cut off or spoiled', async () => {
    const pdf = await makePdf({ compress: false }, (page) => {
      for (let number = 1; number < 9; number += 1) page.text(`Text ${number}`).addPage()
    })
    for (let turn = 0; turn < 150; turn += 1) {
      const cut = pdf.subarray(0, Math.floor((pdf.length * turn) / 150))
      await textOrDamaged(cut)
      const spoiled = Buffer.from(pdf)
      randomBytes(20).copy(spoiled, Math.floor(((pdf.length - 20) * turn) / 150))
      await textOrDamaged(spoiled)
    }
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['noise', randomBytes(MiB)],
    ['only a beginning', Buffer.from('%PDF-1.7\n')],
    ['a page', Buffer.from('<!DOCTYPE html><p>Text')],
  ])('is refused of %s', async (_, content) => {
    await expect(textOf(content)).rejects.toMatchObject({
      code: 'damaged',
      message: 'The document is damaged: it cannot be read as a PDF.',
    })
  })

  it('is not looked for in all of a large PDF whose end is lost', async () => {
    const content = counted(Buffer.concat([Buffer.from('%PDF-1.7\n'), Buffer.alloc(40 * MiB)]))
    await expect(Array.fromAsync(readDocumentText('pdf', content, limits))).rejects.toMatchObject({
      message: 'The document is damaged: its table of objects cannot be found.',
    })
    expect(content.readBytes).toBeLessThanOrEqual(32 * MiB)
  })

  it('fails as its content fails', async () => {
    const pdf = await makePdf({}, (page) => page.image(picture(600, 600)).text('Text'))
    for (const reads of [0, 1, 2]) {
      const failure = new Error('The disk is gone.')
      const content = counted(pdf)
      const { read } = content
      content.read = (start, end) =>
        content.reads > reads ? Promise.reject(failure) : read(start, end)
      content.reads = 1
      await expect(Array.fromAsync(readDocumentText('pdf', content, limits))).rejects.toBe(failure)
    }
  })

  it('may be left before its end', async () => {
    const pdf = await makePdf({}, (page) => page.text('One').addPage().text('Two'))
    for await (const text of readDocumentText('pdf', counted(pdf), limits)) {
      expect(text).toBe('One\n')
      break
    }
  })

  it('is read from where it stands, and never from all of the PDF at once', async () => {
    const large = picture(2_200, 2_000)
    const pdf = await makePdf({}, (page) => {
      for (let number = 1; number <= 9; number += 1) {
        page.text(`Page ${number}`).image(large, { width: 100 }).addPage()
      }
      page.text('The end')
    })
    const content = counted(pdf)
    const pieces: string[] = []
    for await (const piece of readDocumentText('pdf', content, limits)) {
      pieces.push(piece)
      // The library asks for an image even where it passes it over, but not for the next page's.
      expect(content.readBytes).toBeLessThan((pieces.length + 1) * large.length + MiB)
    }
    expect(pieces.join('').split(/\n+/)).toEqual([
      ...Array.from({ length: 9 }, (_, at) => `Page ${at + 1}`),
      ...['The end', ''],
    ])
    // Opened anew after half of it, so that what was read is let go.
    expect(content.endReads).toBe(2)
  })
})

async function textOf(pdf: Buffer, within = limits): Promise<string> {
  return (await Array.fromAsync(readDocumentText('pdf', counted(pdf), within))).join('')
}

async function textOrDamaged(pdf: Buffer): Promise<void> {
  try {
    await textOf(pdf)
  } catch (error) {
    expect(error).toMatchObject({ name: 'DocumentError', code: 'damaged' })
  }
}

function counted(bytes: Buffer) {
  const content = {
    bytes: bytes.length,
    reads: 0,
    readBytes: 0,
    endReads: 0,
    async read(start: number, end: number) {
      content.reads += 1
      if (!(start >= 0 && start <= end && end <= bytes.length)) throw new RangeError('Outside.')
      if (end === bytes.length) content.endReads += 1
      content.readBytes += end - start
      return bytes.subarray(start, end)
    },
  }
  return content satisfies RandomAccess
}

async function makePdf(
  options: PDFKit.PDFDocumentOptions,
  write: (pdf: PDFKit.PDFDocument) => void,
): Promise<Buffer> {
  const pdf = new PdfDocument(options)
  write(pdf)
  pdf.end()
  return Buffer.concat(await pdf.toArray())
}

function fontOf(script: string): string {
  const name = `@fontsource/noto-sans/files/noto-sans-${script}-400-normal.woff`
  return createRequire(import.meta.url).resolve(name)
}

/** As old programs write: the characters are known by the tables of Adobe alone. */
function eastAsianPdf(encoding: string, hex: string, order: string): Buffer {
  const script = `BT /F 20 Tf 10 100 Td <${hex}> Tj ET`
  const system = `<</Registry(Adobe)/Ordering(${order})/Supplement 2>>`
  const objects = [
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R]/Count 1>>',
    '<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>',
    `<</Length ${script.length}>>\nstream\n${script}\nendstream`,
    `<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/${encoding}/DescendantFonts[6 0 R]>>`,
    `<</Type/Font/Subtype/CIDFontType0/BaseFont/X/CIDSystemInfo${system}/FontDescriptor 7 0 R>>`,
    '<</Type/FontDescriptor/FontName/X/Flags 4/FontBBox[0 0 1 1]/ItalicAngle 0/Ascent 1/Descent 0>>',
  ]
  const body = objects.map((object, at) => `${at + 1} 0 obj\n${object}\nendobj\n`).join('')
  return Buffer.from(`%PDF-1.7\n${body}trailer\n<</Size 8/Root 1 0 R>>\n%%EOF`)
}

/** A PNG that cannot be packed. */
function picture(width: number, height: number): Buffer {
  const rows = randomBytes((width * 3 + 1) * height)
  for (let row = 0; row < height; row += 1) rows[row * (width * 3 + 1)] = 0
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2], 8)
  const chunk = (type: string, data: Buffer) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(data.length)
    return Buffer.concat([length, Buffer.from(type), data, Buffer.alloc(4)])
  }
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 0 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}
