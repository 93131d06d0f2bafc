/** Everything that a request can fail with, by the status of the answer. */

import { type ContentFault, readFaults } from './content-fault.ts'

export interface ExceptionFacts {
  /** The status of the answer; undefined where there was none. */
  readonly status?: number | undefined
  /** The problem's code, which the vendor often leaves out. */
  readonly code?: string | undefined
  /** The parameter that is at fault. */
  readonly param?: string | undefined
  /** The problem's type, as `invalid_request_error`. */
  readonly type?: string | undefined
  /** By this the server's log tells about the request. */
  readonly requestId?: string | undefined
  /** The body of the answer, as it came. */
  readonly body?: string | undefined
  /** What is wrong with the content that was sent; none by default. */
  readonly details?: readonly ContentFault[] | undefined
  /** How many faults there are, where not all are told. */
  readonly detailsTotal?: number | undefined
  readonly cause?: unknown
}

export class ApiException extends Error {
  override readonly name: string = 'ApiException'
  readonly status: number | undefined
  readonly code: string | undefined
  readonly param: string | undefined
  readonly type: string | undefined
  readonly requestId: string | undefined
  readonly body: string | undefined
  /** What is wrong with the content that was sent: the first hundred faults, if that is why. */
  readonly details: readonly ContentFault[]
  /** How many faults there are in all. */
  readonly detailsTotal: number

  constructor(message: string, facts: ExceptionFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.status = facts.status
    this.code = facts.code
    this.param = facts.param
    this.type = facts.type
    this.requestId = facts.requestId
    this.body = facts.body
    this.details = facts.details ?? []
    this.detailsTotal = facts.detailsTotal ?? this.details.length
  }
}

/** 400: the request is at fault. */
export class BadRequestException extends ApiException {
  override readonly name = 'BadRequestException'
}
/** 401: the API key is missing or wrong. */
export class UnauthorizedException extends ApiException {
  override readonly name = 'UnauthorizedException'
}
/** 403: the API key may not do this. */
export class ForbiddenException extends ApiException {
  override readonly name = 'ForbiddenException'
}
/** 404: there is no such file or path. */
export class NotFoundException extends ApiException {
  override readonly name = 'NotFoundException'
}
/** 409: something else is being done to the same thing. */
export class ConflictException extends ApiException {
  override readonly name = 'ConflictException'
}
/** 413: the file is larger than the server takes. */
export class ContentTooLargeException extends ApiException {
  override readonly name = 'ContentTooLargeException'
}
/** 422: the server understood the request and cannot do it. */
export class UnprocessableEntityException extends ApiException {
  override readonly name = 'UnprocessableEntityException'
}
/** 429: too many requests. */
export class RateLimitException extends ApiException {
  override readonly name = 'RateLimitException'
}
/** 5xx: the server is at fault. */
export class ServiceException extends ApiException {
  override readonly name = 'ServiceException'
}
/** There was no answer: the server cannot be reached, or the connection broke. */
export class ConnectionException extends ApiException {
  override readonly name: string = 'ConnectionException'
}
/** No byte came or went for `Configuration.idleSeconds`. */
export class TimeoutException extends ConnectionException {
  override readonly name = 'TimeoutException'
}
/** The answer is not what the API promises. */
export class UnexpectedAnswerException extends ApiException {
  override readonly name = 'UnexpectedAnswerException'
}

/** For whatever a request without an answer failed with. */
export function toConnectionException(cause: unknown, host: string): ApiException {
  if (cause instanceof ApiException) return cause
  return new ConnectionException(`The connection to ${host} failed${reasonOf(cause)}.`, { cause })
}

/** Fetch hides why it failed below a `TypeError`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const deeper = reasonOf(error.cause)
  return deeper === '' && error.message !== '' ? `: ${error.message}` : deeper
}

const byStatus = new Map<number, typeof ApiException>([
  [400, BadRequestException],
  [401, UnauthorizedException],
  [403, ForbiddenException],
  [404, NotFoundException],
  [409, ConflictException],
  [413, ContentTooLargeException],
  [422, UnprocessableEntityException],
  [429, RateLimitException],
])

/** The exception for an answer that is no success; reads the answer's body. */
export async function toException(response: Response): Promise<ApiException> {
  const body = await response.text()
  const problem = readProblem(body)
  const { status } = response
  const Exception = byStatus.get(status) ?? (status >= 500 ? ServiceException : ApiException)
  return new Exception(problem.message ?? `The server answered ${status}.`, {
    status,
    code: problem.code,
    param: problem.param,
    type: problem.type,
    details: problem.details,
    detailsTotal: problem.detailsTotal,
    requestId: response.headers.get('x-request-id') ?? undefined,
    body,
  })
}

interface ProblemFields {
  message?: string | undefined
  code?: string | undefined
  param?: string | undefined
  type?: string | undefined
  details?: readonly ContentFault[] | undefined
  detailsTotal?: number | undefined
}

/** Vendors put the problem under `error`, or leave that away, or answer with no JSON at all. */
function readProblem(body: string): ProblemFields {
  const parsed = parseJson(body)
  if (!isRecord(parsed)) return {}
  const problem = isRecord(parsed['error']) ? parsed['error'] : parsed
  const { details, details_total: detailsTotal } = readFaults(parsed)
  return {
    message: textOf(problem['message']) ?? textOf(parsed['error']) ?? textOf(parsed['detail']),
    code: textOf(problem['code']),
    param: textOf(problem['param']),
    type: textOf(problem['type']),
    ...{ details, detailsTotal },
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
