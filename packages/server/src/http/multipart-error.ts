export type MultipartErrorCode = 'malformed' | 'header-too-large' | 'too-many-parts' | 'truncated'

/** The body is no multipart/form-data, or exceeds a bound of `multipartLimits`. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError'
  readonly code: MultipartErrorCode

  constructor(code: MultipartErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
