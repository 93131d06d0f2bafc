/** Everything the service refuses, in the vendor's words where they are known (contract §2). */

import { limits, type ProblemCode } from '@coffer/contract'
import type { Faults } from '../content-rules/fault-list.ts'

export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ProblemCode
  readonly param: string | null
  /** All that is wrong, where it may be more than one thing. */
  readonly details: Faults | undefined

  constructor(
    code: ProblemCode,
    message: string,
    options?: { param?: string | null; cause?: unknown; details?: Faults },
  ) {
    super(message, options)
    this.code = code
    this.param = options?.param ?? null
    this.details = options?.details
  }
}

export function apiKeyMissing(): ServiceError {
  return new ServiceError(
    'api_key_missing',
    "You didn't provide an API key. You need to provide your API key in an Authorization header " +
      'using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with ' +
      "blank username) if you're accessing the API from your browser and are prompted for a " +
      'username and password.',
  )
}

/** @param masked the key with all but its ends covered, never the key itself. */
export function apiKeyInvalid(masked: string): ServiceError {
  return new ServiceError('api_key_invalid', `Incorrect API key provided: ${masked}.`)
}

export function organizationMismatched(): ServiceError {
  return new ServiceError(
    'organization_mismatched',
    'OpenAI-Organization header should match organization for API key',
  )
}

export function projectMismatched(): ServiceError {
  return new ServiceError(
    'project_mismatched',
    'OpenAI-Project header should match project for API key',
  )
}

export function fileNotFound(id: string, param: 'id' | 'after' = 'id'): ServiceError {
  return new ServiceError('file_not_found', `No such File object: ${id}`, { param })
}

export function fileTooLarge(maxBytes: number): ServiceError {
  return new ServiceError(
    'file_too_large',
    `File is too large. A file may have at most ${maxBytes} bytes (${readable(maxBytes)}).`,
  )
}

export function quotaExceeded(quotaBytes: number): ServiceError {
  return new ServiceError(
    'quota_exceeded',
    'You have exceeded your file storage quota. Organizations are limited to ' +
      `${readable(quotaBytes)} of files. Please delete old files or attempt with a smaller file size.`,
  )
}

export function uploadTooSlow(): ServiceError {
  return new ServiceError(
    'upload_too_slow',
    'The upload took so long that its bytes were swept. Please send it again.',
  )
}

export function storageFull(cause: unknown): ServiceError {
  return new ServiceError('storage_full', 'The server has no room for this file.', { cause })
}

export function contentDamaged(cause: unknown): ServiceError {
  return new ServiceError(
    'content_damaged',
    'The content of this file is damaged or missing in the storage, so it is not given out.',
    { cause },
  )
}

export function serviceUnavailable(cause: unknown): ServiceError {
  return new ServiceError(
    'service_unavailable',
    'The server cannot reach its storage now. Please try again later.',
    { cause },
  )
}

export function readOnly(): ServiceError {
  return new ServiceError(
    'service_unavailable',
    'The server takes no changes now: it is read-only. Please try again later.',
  )
}

/** @param allowed the purposes that would do. */
export function purposeInvalid(purpose: string, allowed: readonly string[]): ServiceError {
  const known = allowed.map((name) => `'${name}'`).join(', ')
  return new ServiceError('purpose_invalid', `'${purpose}' is not one of [${known}] - 'purpose'`, {
    param: 'purpose',
  })
}

export function filenameInvalid(why: string): ServiceError {
  return new ServiceError('filename_invalid', `Invalid filename: ${why}`, { param: 'file' })
}

/** @param details at least one fault. The message is the first one's. */
export function contentRefused(details: Faults): ServiceError {
  const [first] = details.faults
  if (first === undefined) throw new Error('Content without a fault was refused.')
  const { line, message, param } = first
  // Some of the vendor's sentences name the line themselves.
  const isPlaced = line === null || message.includes(`Line ${line} `)
  const place = isPlaced ? message : `Line ${line}: ${message}`
  const rest = details.faultCount > 1 ? ` (The first of ${details.faultCount} faults.)` : ''
  return new ServiceError('content_refused', `${place}${rest}`, { param, details })
}

/** @param accepted what would do. */
export function contentTypeUnsupported(
  sent: string,
  accepted: 'multipart/form-data' | 'application/json' = 'multipart/form-data',
): ServiceError {
  return new ServiceError(
    'content_type_unsupported',
    `Unsupported content type: '${sent}'. This API method only accepts '${accepted}' ` +
      `requests, but you specified the header 'Content-Type: ${sent}'.`,
  )
}

export function rangeNotSatisfiable(bytes: number): ServiceError {
  return new ServiceError(
    'range_not_satisfiable',
    `The requested range lies outside of the file, which has ${bytes} bytes.`,
  )
}

export function routeNotFound(method: string, path: string): ServiceError {
  return new ServiceError('route_not_found', `Invalid URL (${method} ${path})`)
}

export function methodNotAllowed(method: string, path: string): ServiceError {
  return new ServiceError(
    'method_not_allowed',
    `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different HTTP method?)`,
  )
}

export function downloadNotAllowed(purpose: string): ServiceError {
  return new ServiceError(
    'download_not_allowed',
    `Not allowed to download files of purpose: ${purpose}`,
  )
}

/**
 * The number that `text` writes.
 *
 * @throws ServiceError with the vendor's sentence for what is no integer or out of bounds.
 */
export function checkInteger(
  param: string,
  text: string,
  { least, most }: { least: number; most: number },
): number {
  if (!/^-?\d{1,15}$/.test(text)) {
    throw new ServiceError(
      'integer_invalid',
      `Invalid type for '${param}': expected an integer, but got '${text}' instead.`,
      { param },
    )
  }
  const value = Number(text)
  if (value < least) {
    throw new ServiceError(
      'integer_below_min',
      `Invalid '${param}': integer below minimum value. Expected a value >= ${least}, but got ${value} instead.`,
      { param },
    )
  }
  if (value > most) {
    throw new ServiceError(
      'integer_above_max',
      `Invalid '${param}': integer above maximum value. Expected a value <= ${most}, but got ${value} instead.`,
      { param },
    )
  }
  return value
}

/** The vendor's schema checker says it so of forms (contract §2.3). */
export function propertyMissing(name: string): ServiceError {
  return new ServiceError('property_missing', `'${name}' is a required property`)
}

export function propertyUnknown(name: string): ServiceError {
  return new ServiceError(
    'property_unknown',
    `Additional properties are not allowed ('${name}' was unexpected)`,
  )
}

export function propertyRepeated(name: string): ServiceError {
  return new ServiceError('property_repeated', `'${name}' may be given only once`)
}

export function propertyTooLong(name: string, bytes: number): ServiceError {
  return new ServiceError('property_too_long', `'${name}' is too long: it may have ${bytes} bytes`)
}

export function jsonMalformed(cause?: unknown): ServiceError {
  return new ServiceError(
    'json_malformed',
    'We could not parse the JSON body of your request. (HINT: This likely means you ' +
      "aren't using your HTTP library correctly. The API expects a JSON payload.)",
    { cause },
  )
}

/** The vendor says it so of JSON (contract §2.7). */
export function parameterMissing(param: string): ServiceError {
  return new ServiceError('parameter_missing', `Missing required parameter: '${param}'.`, { param })
}

export function parameterUnknown(param: string): ServiceError {
  return new ServiceError('parameter_unknown', `Unknown parameter: '${param}'.`, { param })
}

/** @param expected with its article, as in 'an integer'. */
export function parameterTypeInvalid(
  param: string,
  expected: string,
  value: unknown,
): ServiceError {
  return new ServiceError(
    'parameter_type_invalid',
    `Invalid type for '${param}': expected ${expected}, but got ${kindOf(value)} instead.`,
    { param },
  )
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal number'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** @param allowed what would do. */
export function parameterInvalid(
  param: string,
  value: string,
  allowed: readonly string[],
): ServiceError {
  const known = allowed.map((name) => `'${name}'`).join(', ')
  return new ServiceError(
    'value_invalid',
    `Invalid value: '${value}'. Supported values are: ${known}.`,
    { param },
  )
}

export function uploadNotFound(id: string): ServiceError {
  return new ServiceError('upload_not_found', `No such Upload object: ${id}`, {
    param: 'upload_id',
  })
}

/** @param status what it is instead. */
export function uploadNotPending(id: string, status: string): ServiceError {
  return new ServiceError('upload_not_pending', `Upload ${id} is ${status}.`, {
    param: 'upload_id',
  })
}

export function partTooLarge(maxBytes: number): ServiceError {
  return new ServiceError(
    'part_too_large',
    `Part is too large. A part may have at most ${maxBytes} bytes (${readable(maxBytes)}).`,
    { param: 'data' },
  )
}

export function partBeyondUpload(bytes: number): ServiceError {
  return new ServiceError(
    'part_beyond_upload',
    `With this part the Upload would have more bytes than the ${bytes} that were declared.`,
    { param: 'data' },
  )
}

export function partDamaged(sent: string, received: string): ServiceError {
  return new ServiceError(
    'part_damaged',
    `The SHA-256 of the part is ${received}, not ${sent}. Please send it again.`,
    { param: 'sha256' },
  )
}

export function valueInvalid(param: string, expected: string): ServiceError {
  return new ServiceError('value_invalid', `Invalid value for '${param}': expected ${expected}.`, {
    param,
  })
}

/** @param offset where the client meant its bytes to be. */
export function offsetDiffers(offset: number): ServiceError {
  return new ServiceError(
    'offset_differs',
    `The Upload does not have ${offset} bytes yet, or has more. Please ask for its offset.`,
  )
}

export function uploadGone(id: string): ServiceError {
  return new ServiceError('upload_gone', `The Upload '${id}' has expired.`)
}

export function checksumInvalid(algorithms: readonly string[]): ServiceError {
  return new ServiceError(
    'checksum_invalid',
    'The header Upload-Checksum must have the name of a digest and its value in Base64, ' +
      `as in 'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0='. Known are: ${algorithms.join(', ')}.`,
  )
}

export function checksumDiffers(): ServiceError {
  return new ServiceError(
    'checksum_differs',
    'The bytes that came are not those that Upload-Checksum stands for. Please send them again.',
  )
}

export function tusVersionUnsupported(): ServiceError {
  return new ServiceError(
    'tus_version_unsupported',
    "The header 'Tus-Resumable: 1.0.0' is missing: no other version of tus is spoken here.",
  )
}

export function stringTooLong(param: string, found: number, most: number): ServiceError {
  return new ServiceError(
    'string_too_long',
    `Invalid '${param}': string too long. Expected a string with maximum length ${most}, but got ` +
      `a string with length ${found} instead.`,
    { param },
  )
}

export function arrayTooLong(param: string, found: number, most: number): ServiceError {
  return new ServiceError(
    'array_too_long',
    `Invalid '${param}': array too long. Expected an array with maximum length ${most}, but got ` +
      `an array with length ${found} instead.`,
    { param },
  )
}

export function partsTooMany(): ServiceError {
  return new ServiceError(
    'parts_too_many',
    `An Upload may have at most ${limits.uploadParts} parts. Please send larger ones.`,
  )
}

export function partUnknown(id: string, param: 'part_ids' | 'after' = 'part_ids'): ServiceError {
  return new ServiceError('part_unknown', `No such Part of this Upload: '${id}'.`, { param })
}

export function partsMissized(bytes: number, declared: number): ServiceError {
  return new ServiceError(
    'parts_missized',
    `The parts have ${bytes} bytes together, and ${declared} were declared for the Upload.`,
    { param: 'part_ids' },
  )
}

export function contentMd5Differs(sent: string, found: string): ServiceError {
  return new ServiceError(
    'content_md5_differs',
    `The MD5 of the content is ${found}, not ${sent}.`,
    { param: 'md5' },
  )
}

/** @param allowed the orders that would do. */
export function orderInvalid(order: string, allowed: readonly string[]): ServiceError {
  const known = allowed.map((name) => `'${name}'`).join(' and ')
  return new ServiceError(
    'query_invalid',
    `Invalid value: '${order}'. Supported values are: ${known}.`,
  )
}

export function anchorInvalid(anchor: string): ServiceError {
  return parameterInvalid('expires_after.anchor', anchor, ['created_at'])
}

export function expiresAfterMalformed(cause: unknown): ServiceError {
  return new ServiceError(
    'value_invalid',
    'Invalid value for \'expires_after\': expected {"anchor": "created_at", "seconds": SECONDS}.',
    { param: 'expires_after', cause },
  )
}

export function filenameTooLong(): ServiceError {
  return filenameInvalid(`it exceeds ${limits.filenameBytes} bytes.`)
}

/** Exact, and in the unit a person would use: 100 GB, 512 MiB, 1234 bytes. */
function readable(bytes: number): string {
  const units = ['TB', 1e12, 'TiB', 2 ** 40, 'GB', 1e9, 'GiB', 2 ** 30, 'MB', 1e6, 'MiB', 2 ** 20]
  for (let at = 0; at < units.length; at += 2) {
    const size = bytes / Number(units[at + 1])
    if (size >= 1 && Number.isInteger(size)) return `${size} ${units[at]}`
  }
  return `${bytes} bytes`
}
