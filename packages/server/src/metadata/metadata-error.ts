/** `busy`: it works, but others were in the way for too long. */
export type MetadataErrorCode = 'full' | 'busy' | 'unavailable'

/** The store cannot do now what it was asked for; its other errors are faults of who asked. */
export class MetadataError extends Error {
  override readonly name = 'MetadataError'
  readonly code: MetadataErrorCode

  constructor(code: MetadataErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
