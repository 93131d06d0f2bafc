/** What holds for every request with a body that is a form. */

import { safeParse } from 'fast-content-type-parse'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { contentTypeUnsupported } from '../service/errors.ts'

/** What a form may have besides the file: more than any client writes around it. */
export const formOverheadBytes = 64 * 1024

/** Has a client send its body that asked first, now that it is welcome. */
export function welcome({ headers, raw }: FastifyRequest, reply: FastifyReply): void {
  // To HTTP/1.0 the word would be the beginning of the answer.
  if (headers.expect !== undefined && raw.httpVersion === '1.1') reply.raw.writeContinue()
}

/** @throws ServiceError `content_type_unsupported` */
export function readBoundary(request: FastifyRequest): string {
  const header = request.headers['content-type'] ?? ''
  const { type, parameters } = safeParse(header)
  const boundary = parameters['boundary'] ?? ''
  // RFC 2046 §5.1.1 asks for at most 70 characters; none can be a control character.
  if (type !== 'multipart/form-data' || !/^[\x20-\x7e]{1,70}$/.test(boundary)) {
    throw contentTypeUnsupported(header)
  }
  return boundary
}
