/** An object as the body of a request. */

import type { RequestBody } from './api-client.ts'

export function toJsonBody(value: object): RequestBody {
  const bytes = new TextEncoder().encode(JSON.stringify(value))
  return {
    contentType: 'application/json',
    bytes: bytes.length,
    isReplayable: true,
    open: () => bytes,
  }
}
