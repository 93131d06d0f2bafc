/** The text of a PDF, page by page. */

import { readFile } from 'node:fs/promises'
import {
  getDocument,
  PasswordException,
  PDFDataRangeTransport,
  type PDFDocumentProxy,
} from 'unpdf/pdfjs'
import {
  type Allowance,
  createAllowance,
  type DocumentLimits,
  pieceLength,
  type RandomAccess,
} from './document-content.ts'
import { DocumentError, damaged } from './document-error.ts'

/**
 * The library keeps all that it has read, also images, which it passes over. So the document is
 * opened anew after so much.
 */
const mostHeldBytes = 64 * 1024 * 1024

/** Read until a document is open: the table of a million objects has 20 MiB. */
const mostOpeningBytes = 32 * 1024 * 1024

/** @throws DocumentError */
export async function* readPdfText(
  content: RandomAccess,
  limits: DocumentLimits,
): AsyncGenerator<string> {
  const allowance = createAllowance(limits)
  let next = 1
  for (let isWhole = false; !isWhole; ) {
    await using pdf = await openPdf(content)
    const { numPages: pages } = pdf.document
    if (pages > limits.pages) {
      const message = `The PDF has ${pages} pages; the text of at most ${limits.pages} is read.`
      throw new DocumentError('too_many_pages', message)
    }
    do {
      yield* readPage(pdf, next, allowance)
      next += 1
      isWhole = next > pages
    } while (!isWhole && pdf.heldBytes() < mostHeldBytes)
  }
}

interface OpenPdf extends AsyncDisposable {
  readonly document: PDFDocumentProxy
  heldBytes(): number
  /** Waits for the library, unless the content fails first. @throws DocumentError */
  ask<T>(work: Promise<T>): Promise<T>
}

async function* readPage(
  { document, ask }: OpenPdf,
  number: number,
  allowance: Allowance,
): AsyncGenerator<string> {
  const page = await ask(document.getPage(number))
  const pieces = page.streamTextContent().getReader()
  let text = ''
  try {
    for (;;) {
      const { done, value } = await ask(pieces.read())
      if (done) break
      const added = joinItems(value.items)
      allowance.take(added.length)
      text += added
      if (text.length < pieceLength) continue
      yield text
      text = ''
    }
    yield `${text}\n`
  } finally {
    await pieces.cancel(new Error('No more of the page is wanted.')).catch(() => {})
    page.cleanup()
  }
}

function joinItems(items: readonly object[]): string {
  let text = ''
  for (const item of items) {
    if ('str' in item) text += item.str
    if ('hasEOL' in item && item.hasEOL === true) text += '\n'
  }
  return text
}

async function openPdf(content: RandomAccess): Promise<OpenPdf> {
  const failed = Promise.withResolvers<never>()
  let heldBytes = 0
  let isOpen = false

  class Ranges extends PDFDataRangeTransport {
    override requestDataRange(start: number, end: number): void {
      heldBytes += end - start
      // A large PDF whose end is lost is searched for its objects from beginning to end.
      if (!isOpen && heldBytes > mostOpeningBytes) {
        failed.reject(damaged('its table of objects cannot be found'))
        return
      }
      content.read(start, end).then((bytes) => this.onDataRange(start, bytes), failed.reject)
    }
  }

  async function ask<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([work, failed.promise])
    } catch (error) {
      if (error instanceof DocumentError) throw error
      if (error instanceof PasswordException) {
        const message = 'The PDF is encrypted with a password, so that its text cannot be read.'
        throw new DocumentError('encrypted', message)
      }
      throw damaged('it cannot be read as a PDF', error)
    }
  }

  // Ending waits for the ranges that were asked for, of which a failed one never comes.
  const close = () => Promise.race([loading.destroy(), failed.promise]).catch(() => {})

  const loading = getDocument({ ...settings, range: new Ranges(content.bytes, null) })
  try {
    const document = await ask(loading.promise)
    isOpen = true
    return {
      document,
      heldBytes: () => heldBytes,
      ask,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Gives the library Adobe's tables of East Asian characters, and nothing else. */
class CharacterMaps {
  async fetch({ kind, filename }: { kind: string; filename: string }): Promise<Uint8Array> {
    if (kind !== 'cMapUrl' || !/^[\w-]+\.bcmap$/.test(filename)) {
      throw new Error(`${filename} is not needed for text.`)
    }
    return new Uint8Array(await readFile(new URL(`../../cmaps/${filename}`, import.meta.url)))
  }
}

/** Nothing is drawn, fetched, compiled or said, and no more is read than a page asks for. */
const settings = {
  BinaryDataFactory: CharacterMaps,
  disableAutoFetch: true,
  disableFontFace: true,
  disableStream: true,
  isImageDecoderSupported: false,
  isOffscreenCanvasSupported: false,
  useSystemFonts: true,
  useWasm: false,
  useWorkerFetch: false,
  verbosity: 0,
}
