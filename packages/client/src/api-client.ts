/** Sends requests: authenticated, given up when nothing moves, sent again when that may help. */

import { Answer } from './answer.ts'
import {
  type ApiException,
  toConnectionException,
  toException,
  UnexpectedAnswerException,
} from './api-exception.ts'
import { Configuration } from './configuration.ts'
import { startIdleLimit } from './idle-limit.ts'
import { mayRetry, retryDelay } from './retry.ts'

export interface RequestOptions {
  /** Ends the request, and the reading of its answer, with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

export interface ApiRequest extends RequestOptions {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below the host, each part already encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: RequestBody
}

export interface RequestBody {
  readonly contentType: string
  /** Undefined where it is not known before. */
  readonly bytes: number | undefined
  /** Whether `open` can be called again for another try. */
  readonly isReplayable: boolean
  open(watch: BodyWatch): BodyInit
  /** In place of `fetch`, where only another way shows the progress. */
  readonly send?: ((watch: BodyWatch) => typeof fetch) | undefined
}

/** Told by a body how it fares. */
export interface BodyWatch {
  /** Aborted when nobody wants the body any more. */
  readonly signal: AbortSignal
  /** Some of it was taken. */
  moved(): void
  /** It cannot be read to its end, so that no further try will help. */
  failed(reason: unknown): void
}

interface Failure {
  readonly exception: ApiException
  /** Whether the same request may succeed later. */
  readonly retry: boolean
  readonly headers?: Headers
}

export class ApiClient {
  readonly configuration: Configuration

  constructor(configuration: Configuration = new Configuration()) {
    this.configuration = configuration
  }

  /**
   * Resolves with undefined where the answer has no content (204).
   *
   * @throws ApiException also where the answer is no JSON.
   */
  async requestJson(request: ApiRequest): Promise<unknown> {
    const answer = await this.request({ ...request, headers: { accept: 'application/json' } })
    const text = await answer.text()
    if (answer.status === 204) return undefined
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new UnexpectedAnswerException('The server answered with something that is no JSON.', {
        status: answer.status,
        requestId: answer.headers.get('x-request-id') ?? undefined,
        body: text,
        cause,
      })
    }
  }

  /**
   * Resolves with an answer of success, whose body is still to be read.
   *
   * @throws ApiException, or the reason of the signal.
   */
  async request(request: ApiRequest): Promise<Answer> {
    const { maxRetries } = this.configuration
    const mayRepeat = request.body?.isReplayable ?? true
    for (let tries = 1; ; tries += 1) {
      const outcome = await this.#try(request)
      if (outcome instanceof Answer) return outcome
      const { exception, retry } = outcome
      const delay = retry && mayRepeat ? retryDelay(tries, outcome.headers) : undefined
      if (tries > maxRetries || delay === undefined) throw exception
      await wait(delay, request.signal)
    }
  }

  async #try(request: ApiRequest): Promise<Answer | Failure> {
    const { signal, body } = request
    signal?.throwIfAborted()
    const headers = await this.#headers(request)
    signal?.throwIfAborted()
    const idle = startIdleLimit(this.configuration.idleSeconds, signal)
    let failure: { reason: unknown } | undefined
    const watch: BodyWatch = {
      signal: idle.signal,
      moved: () => idle.moved(),
      failed(reason) {
        failure ??= { reason }
      },
    }
    const send = body?.send?.(watch) ?? this.configuration.fetch ?? globalThis.fetch
    try {
      const response = await send(this.#url(request), {
        method: request.method,
        headers,
        signal: idle.signal,
        // Fetch asks for the word where a body is a stream.
        ...(body === undefined ? {} : { body: body.open(watch), duplex: 'half' }),
      })
      idle.moved()
      if (response.ok) return new Answer(response, idle, this.configuration.host, signal)
      const exception = await toException(response)
      idle.done()
      return { exception, retry: mayRetry(response), headers: response.headers }
    } catch (cause) {
      idle.done()
      signal?.throwIfAborted()
      if (failure !== undefined) throw failure.reason
      return { exception: toConnectionException(cause, this.configuration.host), retry: true }
    }
  }

  #url({ path, query = {} }: ApiRequest): string {
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) parameters.set(name, String(value))
    }
    const text = parameters.toString()
    return `${this.configuration.host}${path}${text === '' ? '' : `?${text}`}`
  }

  async #headers({ headers, body }: ApiRequest): Promise<Headers> {
    const { accessToken, organization, project } = this.configuration
    const token = typeof accessToken === 'function' ? await accessToken() : accessToken
    const all: Record<string, string | undefined> = {
      authorization: token === undefined ? undefined : `Bearer ${token}`,
      'openai-organization': organization,
      'openai-project': project,
      'content-type': body?.contentType,
      // Browsers tell the length themselves; Node's fetch knows no stream's.
      'content-length': isBrowser ? undefined : body?.bytes?.toString(),
      ...headers,
      ...this.configuration.headers,
    }
    const result = new Headers()
    for (const [name, value] of Object.entries(all)) {
      if (value !== undefined) result.set(name, value)
    }
    return result
  }
}

const isBrowser = typeof XMLHttpRequest !== 'undefined'

async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, milliseconds)
  const abort = () => reject(signal?.reason)
  signal?.addEventListener('abort', abort)
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}
