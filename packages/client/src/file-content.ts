/** A file's content on its way from the server. It is read once, in one of these ways. */

import type { Answer } from './answer.ts'
import { UnexpectedAnswerException } from './api-exception.ts'

export class FileContent implements AsyncIterable<Uint8Array<ArrayBuffer>> {
  /** Where in the file the content begins: 0 unless a range was asked for and given. */
  readonly start: number
  /** How many bytes come, where the server says so. */
  readonly bytes: number | undefined
  /** Of the whole file, where the server says so. */
  readonly totalBytes: number | undefined
  /** Stands for these very bytes of the file; Coffer's is their SHA-256. */
  readonly etag: string | undefined
  readonly #answer: Answer

  constructor(answer: Answer) {
    const { headers } = answer
    const [, start, total] =
      /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? []
    const length = headers.get('content-length')
    // An encoded body has another length than the content.
    const isPlain = !headers.has('content-encoding')
    this.#answer = answer
    this.start = Number(start ?? 0)
    this.bytes = isPlain && length !== null ? Number(length) : undefined
    this.totalBytes = start === undefined ? this.bytes : total === '*' ? undefined : Number(total)
    this.etag = headers.get('etag') ?? undefined
  }

  /**
   * Yields the bytes as they come; to stop early ends the request.
   *
   * @throws ConnectionException, or UnexpectedAnswerException if there are fewer than announced.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    let received = 0
    for await (const piece of this.#answer.pieces()) {
      received += piece.length
      yield piece
    }
    if (this.bytes !== undefined && received !== this.bytes) {
      throw new UnexpectedAnswerException(`${received} bytes came of ${this.bytes}.`)
    }
  }

  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const pieces = this[Symbol.asyncIterator]()
    return new ReadableStream(
      {
        async pull(controller) {
          const next = await pieces.next()
          if (next.done === true) controller.close()
          else controller.enqueue(next.value)
        },
        cancel: async () => {
          await pieces.return(undefined)
          await this.cancel()
        },
      },
      { highWaterMark: 0 },
    )
  }

  /** Ends the request of content that is not wanted after all. */
  async cancel(): Promise<void> {
    await this.#answer.cancel()
  }

  /** All of it, as text. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer())
  }

  /** All of it, in memory. */
  async arrayBuffer(): Promise<ArrayBuffer> {
    const pieces: Uint8Array<ArrayBuffer>[] = []
    for await (const piece of this) pieces.push(piece)
    return new Blob(pieces).arrayBuffer()
  }
}
