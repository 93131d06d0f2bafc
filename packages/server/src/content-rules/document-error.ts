/** Why no text can be drawn from a document. */

import { shown } from './fault.ts'

export type DocumentErrorCode = 'damaged' | 'encrypted' | 'too_many_pages' | 'unpacks_too_large'

/** Has a sentence for the one who uploaded it. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError'
  readonly code: DocumentErrorCode

  constructor(code: DocumentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** @param what is wrong, as in 'a part of it ends too early'; it may name what the document names. */
export function damaged(what: string, cause?: unknown): DocumentError {
  const message = `The document is damaged: ${shown(what)}.`
  return new DocumentError('damaged', message, cause === undefined ? {} : { cause })
}
