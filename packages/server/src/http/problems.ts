/** The one place that turns an error into an answer. */

import { type Problem, type ProblemCode, problems, toProblem } from '@coffer/contract'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { BlobError } from '../blobs/blob-error.ts'
import { MetadataError } from '../metadata/metadata-error.ts'
import {
  contentTypeUnsupported,
  ServiceError,
  serviceUnavailable,
  storageFull,
} from '../service/errors.ts'
import { BodyStalled, ClientLeft } from './body-source.ts'
import { MultipartError } from './multipart-error.ts'

/** nginx's status for a client that closed its connection; it is logged and never seen. */
const clientClosedRequest = 499

/** Long enough for a burst to pass, and short enough that every SDK obeys it (contract D14). */
const retryAfterSeconds = 2

export async function answerError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (error instanceof ClientLeft) {
    const bytes = request.socket.bytesRead
    request.log.info({ bytes }, 'the client left before its request was whole')
    return reply.code(clientClosedRequest).send()
  }
  const failure = toServiceError(error, request)
  const { status, retry } = problems[failure.code]
  if (status >= 500) request.log.error({ err: error }, 'a request failed')
  // The SDKs retry some statuses by themselves and send a whole file again.
  if (!retry) reply.header('x-should-retry', 'false')
  return answerProblem(reply, failure)
}

export function answerProblem(reply: FastifyReply, failure: ServiceError): FastifyReply {
  const { code, message, param, details } = failure
  const { status } = problems[code]
  const problem: Problem = toProblem(code, message, param)
  if (details !== undefined) {
    problem.details = [...details.faults]
    problem.details_total = details.faultCount
  }
  if (status === 503) reply.header('retry-after', retryAfterSeconds)
  return reply.code(status).type('application/json; charset=utf-8').send(problem)
}

function toServiceError(error: unknown, { headers }: FastifyRequest): ServiceError {
  if (error instanceof ServiceError) return error
  if (error instanceof MultipartError) return new ServiceError('form_malformed', error.message)
  if (error instanceof BodyStalled) return new ServiceError('request_timeout', error.message)
  if (error instanceof MetadataError) {
    return error.code === 'full' ? storageFull(error) : serviceUnavailable(error)
  }
  if (error instanceof BlobError) {
    switch (error.code) {
      case 'full':
        return storageFull(error)
      case 'unavailable':
        return serviceUnavailable(error)
      case 'too-slow':
        return new ServiceError('request_timeout', error.message)
      // Whatever else a blob store refuses is the service's own fault, as is any other error.
      case 'not-found':
      case 'exists':
      case 'damaged':
      case 'too-large':
        break
      default:
        error.code satisfies never
    }
  }
  if (isRefusalOfFastify(error)) {
    return error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE'
      ? contentTypeUnsupported(headers['content-type'] ?? '')
      : new ServiceError('request_malformed', error.message)
  }
  return new ServiceError(
    'server_error',
    'The server had an error while processing your request. Sorry about that!',
    { cause: error },
  )
}

/** Fastify's own refusals of a request, such as a malformed header, have a code and a 4xx status. */
function isRefusalOfFastify(error: unknown): error is FastifyError {
  if (!(error instanceof Error && 'code' in error && 'statusCode' in error)) return false
  const { code, statusCode } = error
  return String(code).startsWith('FST_') && Number(statusCode) >= 400 && Number(statusCode) < 500
}

/** What to tell a client whose request Node's HTTP parser refused. */
export function parserProblem(code: string): { status: number; problem: Problem } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return row('headers_too_large', 'The headers of the request are too large.')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return row('request_timeout', 'The headers of the request did not come in time.')
    case 'CONNECT':
      return row('request_malformed', 'The server is no proxy: it does not know CONNECT.')
    default:
      return row('request_malformed', 'The request is not valid HTTP.')
  }
}

function row(code: ProblemCode, message: string): { status: number; problem: Problem } {
  return { status: problems[code].status, problem: toProblem(code, message, null) }
}
