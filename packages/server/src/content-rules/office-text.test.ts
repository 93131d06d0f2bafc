import { randomBytes } from 'node:crypto'
import { constants, deflateRawSync } from 'node:zlib'
import {
  Document,
  Footer,
  FootnoteReferenceRun,
  Header,
  Packer,
  Paragraph,
  Tab,
  Table,
  TableCell,
  TableRow,
  TextRun,
} from 'docx'
import fc from 'fast-check'
import pptxGenJs from 'pptxgenjs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import writeExcelFile from 'write-excel-file/node'
import {
  type DocumentKind,
  type DocumentLimits,
  type RandomAccess,
  readDocumentText,
} from './document-text.ts'
import { officeOf, type Part, part, relationsOf, zipOf } from './made-archive.ts'

/** Its types are those of a CommonJS module, which it is not where it is imported. */
const PptxGenJs = pptxGenJs as unknown as typeof pptxGenJs.default

const MiB = 1024 * 1024
const limits: DocumentLimits = { pages: 100, unpackedBytes: 256 * MiB }

const rejected: unknown[] = []
const note = (reason: unknown) => void rejected.push(reason)
beforeEach(() => void process.on('unhandledRejection', note))
afterEach(() => {
  process.off('unhandledRejection', note)
  expect(rejected).toEqual([])
})

describe('the text of a Word document', () => {
  it('is its body, then what stands around it and is noted on it', async () => {
    const cell = (text: string) => new TableCell({ children: [new Paragraph(text)] })
    const document = new Document({
      sections: [
        {
          headers: { default: new Header({ children: [new Paragraph('The header')] }) },
          footers: { default: new Footer({ children: [new Paragraph('The footer')] }) },
          children: [
            new Paragraph({
              tabStops: [{ type: 'left', position: 100 }],
              children: [
                new TextRun('Привет & '),
                new TextRun({ text: '<you>', bold: true }),
                new FootnoteReferenceRun(1),
                new TextRun({ children: [new Tab(), 'behind a tab'] }),
                new TextRun({ text: 'below', break: 1 }),
              ],
            }),
            new Table({ rows: [new TableRow({ children: [cell('中文'), cell('two')] })] }),
          ],
        },
      ],
      footnotes: { 1: { children: [new Paragraph('A note')] } },
    })
    const text = await textOf('docx', await Packer.toBuffer(document))
    expect(text.split('\n').filter((line) => line.trim() !== '')).toEqual([
      'Привет & <you>\tbehind a tab',
      'below',
      '中文',
      'two',
      'The header',
      'The footer',
      'A note',
    ])
  })

  it('leaves out what was deleted, moved away, or is said again for older programs', async () => {
    const body = `<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del>
      <w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:r><w:instrText>PAGE</w:instrText></w:r>
      <mc:AlternateContent><mc:Choice><w:t>new</w:t></mc:Choice>
      <mc:Fallback><w:t>again</w:t></mc:Fallback></mc:AlternateContent></w:p>`
    expect(await textOf('docx', docxOf(body))).toBe('new\n')
  })

  it('is what was put in, in its order', async () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(texts, async (paragraphs) => {
        const body = paragraphs.map((text) => paragraphOf(escaped(text))).join('')
        const lines = paragraphs.map((text) => `${text}\n`).join('')
        expect(await textOf('docx', docxOf(body))).toBe(lines)
      }),
    )
  })

  it('is that of what is there, where others were removed and are still referred to', async () => {
    const docx = wordOf({
      'word/document.xml': documentOf(paragraphOf('body')),
      'word/_rels/document.xml.rels': relationsOf(
        ['r1', 'header', 'gone.xml'],
        ['r2', 'footer', 'footer.xml'],
      ),
      'word/footer.xml': `<w:ftr>${paragraphOf('footer')}</w:ftr>`,
    })
    expect(await textOf('docx', docx)).toBe('body\nfooter\n')
  })

  it('may be in UTF-16', async () => {
    const xml = Buffer.from(`\ufeff${documentOf(paragraphOf('Текст 😀'))}`, 'utf16le')
    expect(await textOf('docx', wordOf({ 'word/document.xml': xml }))).toBe('Текст 😀\n')
  })

  it('is yielded in pieces, and never held whole', async () => {
    const words = paragraphOf('word '.repeat(20))
    const docx = docxOf(words.repeat(200_000))
    let [length, longest] = [0, 0]
    for await (const piece of readDocumentText('docx', counted(docx), limits)) {
      length += piece.length
      longest = Math.max(longest, piece.length)
    }
    expect(length).toBe(200_000 * 101)
    expect(longest).toBeLessThan(100_000)
  })
})

describe('the text of a presentation', () => {
  it('is said once where sections list the slides once more', async () => {
    const slides = '<p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst>'
    const sections =
      '<p:extLst><p:ext><p14:sectionLst><p14:section><p14:sldIdLst><p14:sldId id="256"/>' +
      '</p14:sldIdLst></p14:section></p14:sectionLst></p:ext></p:extLst>'
    const pptx = officeOf('ppt/presentation.xml', {
      'ppt/presentation.xml': `<p:presentation>${slides}${sections}</p:presentation>`,
      'ppt/_rels/presentation.xml.rels': relationsOf(['r1', 'slide', 'slides/slide1.xml']),
      'ppt/slides/slide1.xml': '<p:sld><a:p><a:r><a:t>once</a:t></a:r></a:p></p:sld>',
    })
    expect((await textOf('pptx', pptx)).trim()).toBe('once')
  })

  it('is each slide and its notes, in the order in which they are shown', async () => {
    const presentation = new PptxGenJs()
    for (let number = 1; number <= 12; number += 1) {
      const slide = presentation.addSlide()
      slide.addText([{ text: `Slide ${number}`, options: { breakLine: true } }, { text: 'below' }])
      slide.addTable([[{ text: 'a cell' }]])
      slide.addNotes(`A note on ${number}`)
    }
    const text = await textOf('pptx', await bufferOf(presentation))
    const lines = text.split('\n').filter((line) => line !== '')
    expect(lines).toEqual(
      Array.from({ length: 12 }, (_, at) => at + 1).flatMap((number) => [
        `Slide ${number}`,
        'below',
        'a cell',
        `A note on ${number}`,
      ]),
    )
  })

  it('is all that is read of it, and not its media', async () => {
    const slide = '<p:sld><a:p><a:t>A slide</a:t></a:p></p:sld>'
    const pptx = pptxOf(slide, 1, { 'ppt/media/film.mp4': randomBytes(50 * MiB) })
    const content = counted(pptx)
    expect(await Array.fromAsync(readDocumentText('pptx', content, limits))).toEqual(['A slide\n'])
    expect(content.readBytes).toBeLessThan(0.1 * MiB)
  })
})

describe('the text of a workbook', () => {
  it('is what its cells hold, sheet by sheet and row by row', async () => {
    const rows = (name: string) => [
      [{ value: 'Name' }, { value: 'Age' }],
      [{ value: `${name} & 中文` }, { value: 42.5 }],
      [null, { value: true }, { value: name }],
    ]
    const file = writeExcelFile([
      { data: rows('Ann'), sheet: 'B' },
      { data: rows('Bob'), sheet: 'A' },
    ])
    expect(await textOf('xlsx', await file.toBuffer())).toBe(
      'Name\tAge\nAnn & 中文\t42.5\nTRUE\tAnn\nName\tAge\nBob & 中文\t42.5\nTRUE\tBob\n',
    )
  })

  it('knows every way in which a cell holds it', async () => {
    const shared = `<sst><si><t>one</t></si><si><r><t>t</t></r><r><t>wo</t></r>
      <rPh><t>tu</t></rPh></si><si><t/></si></sst>`
    const row = `<row><c t="s"><v>1</v></c><c t="inlineStr"><is><t>in</t></is></c>
      <c t="str"><f>A1</f><v>made</v></c><c><v>-1.5E3</v></c><c t="b"><v>0</v></c>
      <c t="e"><v>#DIV/0!</v></c><c s="1"/><c t="s"><v>2</v></c><c t="s"><v>0</v></c></row>`
    expect(await textOf('xlsx', xlsxOf(row, shared))).toBe(
      'two\tin\tmade\t-1.5E3\tFALSE\t#DIV/0!\t\tone\n',
    )
  })

  it('says a shared text as often as cells have it, but not without end', async () => {
    const texts = Array.from('abcde', (letter) => letter.repeat(30_000))
    const shared = `<sst>${texts.map((text) => `<si><t>${text}</t></si>`).join('')}</sst>`
    const rows = (count: number) =>
      texts.map((_, at) => `<row><c t="s"><v>${at}</v></c></row>`.repeat(count)).join('')
    expect(await textOf('xlsx', xlsxOf(rows(20), shared))).toBe(
      texts.map((text) => `${text}\n`.repeat(20)).join(''),
    )
    await expect(textOf('xlsx', xlsxOf(rows(4_000), shared))).rejects.toMatchObject({
      code: 'unpacks_too_large',
    })
  })

  it('is refused where its texts are more than can be held', async () => {
    const shared = `<sst>${`<si><t>${'x'.repeat(30_000)}</t></si>`.repeat(3_000)}</sst>`
    await expect(textOf('xlsx', xlsxOf('', shared))).rejects.toMatchObject({
      code: 'unpacks_too_large',
    })
  })

  it('is refused where a cell has no text, or one that ends nowhere', async () => {
    const missing = xlsxOf('<row><c t="s"><v>7</v></c></row>', '<sst/>')
    await expect(textOf('xlsx', missing)).rejects.toMatchObject({ code: 'damaged' })
    const endless = xlsxOf(`<row><c t="str"><v>${'x'.repeat(2 * MiB)}</v></c></row>`, '<sst/>')
    await expect(textOf('xlsx', endless)).rejects.toMatchObject({ code: 'damaged' })
  })
})

describe('an Office document', () => {
  it.each<[string, () => Buffer]>([
    ['nothing', () => Buffer.alloc(0)],
    ['noise', () => randomBytes(MiB)],
    ['an archive of other things', () => zipOf([part('a.txt', 'a')])],
    ['a workbook', () => xlsxOf('', '<sst/>')],
    ['a document whose main part is missing', () => wordOf({})],
    ['XML that ends too early', () => wordOf({ 'word/document.xml': '<w:document><w:body>' })],
    ['XML that is none', () => wordOf({ 'word/document.xml': 'Some text.' })],
    ['text that is no UTF-8', () => wordOf({ 'word/document.xml': Buffer.of(0x3c, 0xff, 0xfe) })],
    ['a Word document of 1997', () => compoundOf('WordDocument')],
  ])('is refused of %s', async (_, make) => {
    await expect(textOf('docx', make())).rejects.toMatchObject({
      name: 'DocumentError',
      code: 'damaged',
      message: expect.stringMatching(/^The document is damaged: .*\.$/),
    })
  })

  it('is refused where it is encrypted with a password', async () => {
    const message = 'The document is encrypted with a password, so that its text cannot be read.'
    const locked = { ...part('word/document.xml', 'secret'), flags: 1 }
    for (const docx of [compoundOf('EncryptedPackage'), wordOf({}, [locked])]) {
      await expect(textOf('docx', docx)).rejects.toMatchObject({ code: 'encrypted', message })
    }
  })

  it('is refused in a sentence of a few words, whatever names it has', async () => {
    const name = `${'long '.repeat(1_000_000)}.xml`
    const refusing = textOf(
      'docx',
      zipOf([part('_rels/.rels', relationsOf(['r0', 'officeDocument', name]))]),
    )
    const { message } = await refusing.then(expect.fail, (error: Error) => error)
    expect(message.length).toBeLessThan(200)
  })

  it('is refused where a part leads to one that is not there, or to very many', async () => {
    const parts = {
      'xl/workbook.xml': '<workbook><sheets><sheet r:id="r1"/></sheets></workbook>',
    }
    await expect(textOf('xlsx', officeOf('xl/workbook.xml', parts))).rejects.toMatchObject({
      code: 'damaged',
    })
    const relation: [string, string, string] = ['r', 'hyperlink', 'http://x']
    const many = relationsOf(...Array.from({ length: 50_001 }, () => relation))
    const docx = wordOf({
      'word/document.xml': documentOf(''),
      'word/_rels/document.xml.rels': many,
    })
    await expect(textOf('docx', docx)).rejects.toMatchObject({ code: 'damaged' })
  })

  it('is refused where a part is there twice', async () => {
    const again = part('Word/Document.xml', documentOf(paragraphOf('Other')))
    const docx = wordOf({ 'word/document.xml': documentOf(paragraphOf('One')) }, [again])
    await expect(textOf('docx', docx)).rejects.toMatchObject({ code: 'damaged' })
  })

  it.each([
    ['larger', { bytes: 100 }],
    ['smaller', { bytes: 40 }],
    ['other', { sum: 1 }],
  ])('is refused where a part is %s than said', async (_, said) => {
    const lying = { ...part('word/document.xml', documentOf(paragraphOf('Text'))), ...said }
    await expect(textOf('docx', wordOf({}, [lying]))).rejects.toMatchObject({ code: 'damaged' })
  })

  it('is refused where it has very many parts', async () => {
    const parts = Array.from({ length: 50_001 }, (_, at) => part(`${at}`, ''))
    await expect(textOf('docx', zipOf(parts))).rejects.toMatchObject({
      code: 'unpacks_too_large',
    })
  })

  it('ends in a clear error wherever it is cut off or spoiled', async () => {
    const docx = docxOf(paragraphOf('Some text, and more of it.').repeat(50))
    for (let at = 0; at < docx.length; at += 1) {
      const cut = textOf('docx', docx.subarray(0, at))
      await expect(cut, `cut at ${at}`).rejects.toMatchObject({ code: 'damaged' })
      const spoiled = Buffer.from(docx)
      spoiled[at] = (spoiled[at] ?? 0) ^ 0xff
      await textOf('docx', spoiled).catch((error: unknown) => {
        expect(error, `spoiled at ${at}`).toMatchObject({ name: 'DocumentError' })
      })
    }
  })

  it('fails as its content fails', async () => {
    const docx = docxOf(paragraphOf('Text'))
    const whole = counted(docx)
    await Array.fromAsync(readDocumentText('docx', whole, limits))
    for (let reads = 0; reads < whole.reads; reads += 1) {
      const failure = new Error('The disk is gone.')
      const content = counted(docx)
      const { read } = content
      content.read = (...range) =>
        content.reads < reads ? read(...range) : Promise.reject(failure)
      await expect(Array.fromAsync(readDocumentText('docx', content, limits))).rejects.toBe(failure)
    }
  })
})

describe('a bomb', () => {
  const piece = Buffer.from('<w:p><w:r><w:t>boom</w:t></w:r></w:p>'.repeat(MiB / 2))
  // Pieces that end on a whole byte can be said again, so that gigabytes are packed at once.
  const packedPiece = deflateRawSync(piece, { finishFlush: constants.Z_FULL_FLUSH })
  const times = Math.ceil(10e9 / piece.length)
  const packed = Buffer.concat([
    deflateRawSync(Buffer.from('<w:document>'), { finishFlush: constants.Z_FULL_FLUSH }),
    ...Array.from({ length: times }, () => packedPiece),
  ])
  const bomb = { name: 'word/document.xml', packed, method: 8, sum: 0, flags: 0 }

  it('that says that it is one is not touched', async () => {
    const docx = wordOf({}, [{ ...bomb, bytes: 0xffff_fffe }])
    const content = counted(docx)
    await expect(Array.fromAsync(readDocumentText('docx', content, limits))).rejects.toMatchObject({
      code: 'unpacks_too_large',
      message: 'The document unpacks to more than 268435456 bytes, so that its text is not read.',
    })
    expect(content.readBytes).toBeLessThan(0.5 * MiB)
  })

  it('that says that it is none goes no further than it says', async () => {
    const docx = wordOf({}, [{ ...bomb, bytes: 8 * MiB }])
    const [before, began] = [process.memoryUsage().rss, performance.now()]
    await expect(textOf('docx', docx)).rejects.toMatchObject({ code: 'damaged' })
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * MiB)
  })

  it('of small parts that are read again and again ends at the limit', async () => {
    const slide = `<p:sld>${'<a:p><a:t>boom</a:t></a:p>'.repeat(50_000)}</p:sld>`
    const pptx = pptxOf(slide, 10_000)
    let pieces = 0
    const reading = async () => {
      const within = { ...limits, unpackedBytes: 32 * MiB }
      for await (const _ of readDocumentText('pptx', counted(pptx), within)) pieces += 1
    }
    await expect(reading()).rejects.toMatchObject({ code: 'unpacks_too_large' })
    expect(pieces).toBeGreaterThan(100)
  })

  it('of entities is left as it stands', async () => {
    const laughs = Array.from({ length: 9 }, (_, at) => {
      return `<!ENTITY lol${at + 1} "${`&lol${at};`.repeat(10)}">`
    })
    const type = `<!DOCTYPE w:document [<!ENTITY lol0 "lol">${laughs.join('')}]>`
    const xml = `<?xml version="1.0"?>${type}${documentOf(paragraphOf('&lol9;'))}`
    expect(await textOf('docx', wordOf({ 'word/document.xml': xml }))).toBe('&lol9;\n')
  })

  it('of nested elements, or of one that never ends, is refused', async () => {
    for (const xml of ['<a>'.repeat(2 * MiB), `<a b="${'x'.repeat(40 * MiB)}`]) {
      const docx = wordOf({ 'word/document.xml': xml })
      await expect(textOf('docx', docx)).rejects.toMatchObject({ code: 'damaged' })
    }
  })
})

async function textOf(kind: DocumentKind, content: Buffer): Promise<string> {
  return (await Array.fromAsync(readDocumentText(kind, counted(content), limits))).join('')
}

function counted(bytes: Buffer) {
  const content = {
    bytes: bytes.length,
    reads: 0,
    readBytes: 0,
    async read(start: number, end: number) {
      content.reads += 1
      content.readBytes += end - start
      if (!(start >= 0 && start <= end && end <= bytes.length)) throw new RangeError('Outside.')
      return bytes.subarray(start, end)
    },
  }
  return content satisfies RandomAccess
}

async function bufferOf(presentation: InstanceType<typeof PptxGenJs>): Promise<Buffer> {
  const written = await presentation.write({ outputType: 'nodebuffer' })
  if (!(written instanceof Uint8Array)) throw new Error('The presentation was not written.')
  return Buffer.from(written)
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const paragraphOf = (text: string) => `<w:p><w:r><w:t>${text}</w:t></w:r></w:p>`
const documentOf = (body: string) => `<w:document><w:body>${body}</w:body></w:document>`
const docxOf = (body: string) => wordOf({ 'word/document.xml': documentOf(body) })

const wordOf = (parts: Record<string, string | Buffer>, more: readonly Part[] = []) =>
  officeOf('word/document.xml', parts, more)

function pptxOf(slide: string, times: number, more: Record<string, Buffer> = {}): Buffer {
  const slides = '<p:sldId id="1" r:id="r1"/>'.repeat(times)
  return officeOf('ppt/presentation.xml', {
    'ppt/presentation.xml': `<p:presentation><p:sldIdLst>${slides}</p:sldIdLst></p:presentation>`,
    'ppt/_rels/presentation.xml.rels': relationsOf(['r1', 'slide', 'slides/slide1.xml']),
    'ppt/slides/slide1.xml': slide,
    ...more,
  })
}

const xlsxOf = (rows: string, shared: string) =>
  officeOf('xl/workbook.xml', {
    'xl/workbook.xml': '<workbook><sheets><sheet name="A" r:id="r1"/></sheets></workbook>',
    'xl/_rels/workbook.xml.rels': relationsOf(
      ['r1', 'worksheet', '/xl/sheet.xml'],
      ['r2', 'sharedStrings', 'texts.xml'],
    ),
    'xl/sheet.xml': `<worksheet><sheetData>${rows}</sheetData></worksheet>`,
    'xl/texts.xml': shared,
  })

/** A file of the older kind, with one stream. */
function compoundOf(stream: string): Buffer {
  const file = Buffer.alloc(2048)
  file.writeBigUInt64BE(0xd0cf11e0a1b11ae1n)
  file.writeUInt16LE(9, 30)
  file.writeUInt32LE(1, 48)
  file.write(stream, 1024, 'utf16le')
  return file
}
