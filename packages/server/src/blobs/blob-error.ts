export type BlobErrorCode =
  | 'not-found'
  | 'damaged'
  | 'exists'
  | 'too-large'
  | 'too-slow'
  | 'full'
  | 'unavailable'

/** What a blob store can refuse or fail at; an error of a write's own source passes unchanged. */
export class BlobError extends Error {
  override readonly name = 'BlobError'
  readonly code: BlobErrorCode

  constructor(code: BlobErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
