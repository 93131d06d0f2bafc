/** A request whose client sends the beginning of its body, and then nothing more. */

import { request } from 'node:http'
import type { Coffer } from './start-coffer.ts'

export interface PausedRequest {
  readonly method: string
  readonly path: string
  /** What it says of its body, without the length. */
  readonly headers: Readonly<Record<string, string>>
  /** What it says is the length of its body. */
  readonly bytes: number
  /** What it sends of that. */
  readonly beginning: Uint8Array
}

/** Resolves once the beginning is sent; then the request waits until its connection breaks. */
export async function pauseRequest({ url, key }: Coffer, paused: PausedRequest): Promise<void> {
  const { method, path, headers, bytes, beginning } = paused
  const sending = request(`${url}${path}`, {
    method,
    agent: false,
    headers: { ...headers, authorization: `Bearer ${key}`, 'content-length': bytes },
  })
  // It ends with its server.
  sending.on('error', () => {})
  await new Promise((resolve) => sending.write(beginning, resolve))
}
