import { randomUUID } from 'node:crypto'

/** By this an answer is found in the log. */
export function newRequestId(): string {
  return `req_${randomUUID().replaceAll('-', '')}`
}
