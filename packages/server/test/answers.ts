/** What holds for every answer of the server, and how a test reads one that refuses. */

import { Problem } from '@coffer/contract'
import { expect } from 'vitest'

export interface Refusal {
  readonly status: number
  readonly message: string
  readonly type: string
  readonly param: string | null
  readonly code: string | null
}

/** What `readRefusal` gives for a request that the client should not send again. */
export function refusal(
  status: number,
  message: string,
  { param = null, code = null }: { param?: string | null; code?: string | null } = {},
): Refusal {
  return { status, message, type: 'invalid_request_error', param, code }
}

/** What the server says about its own failure. */
export function failure(status: 500 | 503, message: string): Refusal {
  return { status, message, type: 'server_error', param: null, code: null }
}

/** Reads an answer that must be a refusal. */
export async function readRefusal(response: Response): Promise<Refusal> {
  await checkAnswer(response)
  const { error } = Problem.parse(await response.json())
  return { status: response.status, ...error }
}

/** Checks what is promised of every answer, and leaves the body to be read. */
export async function checkAnswer(response: Response): Promise<void> {
  const { status, headers } = response
  expect(headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/)
  if (status < 400) return
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
  // The SDKs send some requests again unless they are told not to.
  const permanent = status < 500 && status !== 408 && !isOfParser(headers)
  expect(headers.get('retry-after')).toBe(status === 503 ? '2' : null)
  const text = await response.clone().text()
  const isLasting = permanent || status === 507 || text.includes('"file_content_unavailable"')
  expect(headers.get('x-should-retry')).toBe(isLasting ? 'false' : null)
  // The answer to HEAD has the headers only.
  if (text === '' && headers.get('content-length') !== '0') return
  expect(JSON.parse(text)).toEqual({
    error: {
      message: expect.stringMatching(/./),
      type: status < 500 ? 'invalid_request_error' : 'server_error',
      param: expect.toBeOneOf([null, expect.any(String)]),
      code: expect.toBeOneOf([null, expect.any(String)]),
    },
    // Of content that was refused; their shape is checked where they are read.
    ...(text.includes('"details_total"')
      ? { details: expect.any(Array), details_total: expect.any(Number) }
      : {}),
  })
}

/** Whether Node's HTTP parser refused the request, so that it never came to a route. */
function isOfParser(headers: Headers): boolean {
  return !headers.has('date')
}
