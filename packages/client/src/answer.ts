/** An answer of success, whose body is read by pull and given up when nothing comes. */

import { toConnectionException } from './api-exception.ts'
import type { IdleLimit } from './idle-limit.ts'

export class Answer {
  readonly status: number
  readonly headers: Headers
  readonly #response: Response
  readonly #idle: IdleLimit
  readonly #host: string
  readonly #signal: AbortSignal | undefined

  constructor(response: Response, idle: IdleLimit, host: string, signal: AbortSignal | undefined) {
    this.status = response.status
    this.headers = response.headers
    this.#response = response
    this.#idle = idle
    this.#host = host
    this.#signal = signal
  }

  /** Yields the body; to stop early ends the request. */
  async *pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    const reader = this.#response.body?.getReader()
    try {
      for (;;) {
        const next = await reader?.read()
        if (next?.value === undefined) return
        this.#idle.moved()
        yield next.value
      }
    } catch (cause) {
      this.#signal?.throwIfAborted()
      throw toConnectionException(cause, this.#host)
    } finally {
      this.#idle.done()
      // A stream that broke says so again here, in place of what is thrown above.
      await reader?.cancel().catch(() => {})
    }
  }

  /** Ends the request; what is not read yet is lost. */
  async cancel(): Promise<void> {
    this.#idle.done()
    // A stream that broke has ended, which is all that is wanted.
    await this.#response.body?.cancel().catch(() => {})
  }

  async text(): Promise<string> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const piece of this.pieces()) text += decoder.decode(piece, { stream: true })
    return text + decoder.decode()
  }
}
