/** What went wrong, as one sentence that says what to do. */

import { ApiException, ConnectionException, UnauthorizedException } from '@coffer/client'

export function sentenceOf(error: unknown): string {
  if (error instanceof UnauthorizedException) {
    return `${error.message} Look at OPENAI_API_KEY or --key.`
  }
  if (error instanceof ConnectionException) {
    return `${error.message} Is the server running, and is OPENAI_BASE_URL or --url right?`
  }
  if (error instanceof ApiException && error.status !== undefined && error.status >= 500) {
    return `${error.message} (request ${error.requestId ?? 'without an id'})`
  }
  return error instanceof Error ? error.message : String(error)
}
