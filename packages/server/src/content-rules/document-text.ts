/** The text of documents, drawn from them piece by piece. */

import {
  type DocumentLimits,
  type RandomAccess,
  type WatchedContent,
  watchContent,
} from './document-content.ts'

export type { DocumentLimits, RandomAccess } from './document-content.ts'
export { DocumentError, type DocumentErrorCode } from './document-error.ts'

export type DocumentKind = 'pdf' | 'docx' | 'pptx' | 'xlsx' | 'html'

type Reader = (content: WatchedContent, limits: DocumentLimits) => AsyncGenerator<string>

/**
 * Yields the text in the order of reading. Neither the document nor its text is ever held whole.
 *
 * What a document makes the libraries compute is bounded by `limits` but for PDF, whose pages are
 * read in one go each: it wants a thread that can be ended.
 *
 * @throws DocumentError, or what `content` failed with.
 */
export async function* readDocumentText(
  kind: DocumentKind,
  content: RandomAccess,
  limits: DocumentLimits,
): AsyncGenerator<string> {
  const watched = watchContent(content)
  const read = await findReader(kind)
  try {
    yield* read(watched, limits)
  } catch (error) {
    throw watched.failure() ?? error
  }
}

/** Imported when wanted, since each brings a library of its own. */
async function findReader(kind: DocumentKind): Promise<Reader> {
  switch (kind) {
    case 'pdf':
      return (await import('./pdf-text.ts')).readPdfText
    case 'docx':
      return (await import('./docx-text.ts')).readDocxText
    case 'pptx':
      return (await import('./pptx-text.ts')).readPptxText
    case 'xlsx':
      return (await import('./xlsx-text.ts')).readXlsxText
    case 'html':
      return (await import('./html-text.ts')).readHtmlText
  }
}
