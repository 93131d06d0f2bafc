/** Reads a multipart/form-data body part by part (RFC 7578, RFC 2046 §5.1): by pull, unbuffered. */

import { MultipartError } from './multipart-error.ts'
import { parsePartHeaders } from './part-headers.ts'

const KiB = 1024

export const multipartLimits = {
  /** Bytes of one part's header block. */
  headerBytes: 16 * KiB,
  /** Parts in one body; a form of the Files API has at most four. */
  parts: 64,
  /** Bytes before the first and after the last delimiter, which mean nothing. */
  paddingBytes: 16 * KiB,
}

export interface Part {
  /** The form field's name. */
  readonly name: string
  /** As the client sent it, `undefined` where it sent none: not yet a safe or a base name. */
  readonly filename: string | undefined
  /** The bytes, to be read before the next part is asked for; what is left unread is skipped. */
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * Yields the parts in the order of the body, and ends only after the closing delimiter and the
 * end of `source`, so that a body cut short can never look whole.
 *
 * @throws MultipartError also while a part's body is read.
 */
export async function* readMultipart(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<Part, void, undefined> {
  await using scanner = new Scanner(source, boundary)
  await skip(scanner.content(), 'before the first boundary')
  for (let count = 0; !scanner.ended; count += 1) {
    if (count === multipartLimits.parts) {
      throw new MultipartError(
        'too-many-parts',
        `The form has more than ${multipartLimits.parts} parts.`,
      )
    }
    const { name, filename } = parsePartHeaders(await scanner.headers())
    yield { name, filename, body: scanner.body() }
    if (!scanner.betweenParts) for await (const _ of scanner.content());
  }
  const epilogue = await skip(scanner.rest(), 'after the last boundary')
  // Text in that line shows that it was a line of the content, and that the content goes on.
  if (!/^[ \t]*(?:\r?\n|$)/.test(epilogue.toString('latin1'))) {
    throw new MultipartError('malformed', 'The form has text in the line of its last boundary.')
  }
}

async function skip(content: AsyncIterable<Uint8Array>, where: string): Promise<Buffer> {
  let skipped = Buffer.alloc(0)
  for await (const bytes of content) {
    skipped = Buffer.concat([skipped, bytes])
    if (skipped.length > multipartLimits.paddingBytes) {
      throw new MultipartError('malformed', `The form has too many bytes ${where}.`)
    }
  }
  return skipped
}

const CRLF = '\r\n'
const CR = 13
const LF = 10
const DASH = 45
const SPACE = 32
const TAB = 9

/** Blanks that RFC 2046 allows between a delimiter and its CRLF; no known sender writes any. */
const transportPaddingBytes = 64

class Scanner implements AsyncDisposable {
  /** Whether the closing delimiter was read. */
  ended = false
  /** Whether the last line read is a delimiter, so that headers come next. */
  betweenParts = false

  readonly #source: AsyncIterator<Uint8Array>
  readonly #delimiter: Buffer
  /**
   * Pulled and not yet given out. It starts as a CRLF because the first delimiter may open the
   * body, while every other one begins with the CRLF that ends the line before it.
   */
  #held: Buffer = Buffer.from(CRLF)

  constructor(source: AsyncIterable<Uint8Array>, boundary: string) {
    this.#source = source[Symbol.asyncIterator]()
    this.#delimiter = Buffer.from(`${CRLF}--${boundary}`, 'latin1')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.()
  }

  /** Yields what stands before the next delimiter line and passes that line. */
  async *content(): AsyncGenerator<Uint8Array, void, undefined> {
    let from = 0
    for (;;) {
      const at = this.#held.indexOf(this.#delimiter, from)
      const line = at === -1 ? 'unfinished' : this.#delimiterLineAt(at)
      if (line === 'content') {
        from = at + 1
        continue
      }
      const end = at === -1 ? this.#held.length - this.#openingTail() : at
      if (end > 0) {
        const bytes = this.#held.subarray(0, end)
        this.#held = this.#held.subarray(end)
        yield bytes
      }
      if (line !== 'unfinished') {
        this.#held = this.#held.subarray(line.bytes)
        this.ended = line.closing
        this.betweenParts = true
        return
      }
      await this.#pull()
      from = 0
    }
  }

  /**
   * The header block of the part that begins here, without the line ends behind it. The second of
   * these stays held: in a part without a body it begins the next delimiter.
   */
  async headers(): Promise<Buffer> {
    this.betweenParts = false
    for (;;) {
      const end = this.#held.indexOf(CRLF + CRLF)
      const most = multipartLimits.headerBytes
      if (end > most || (end === -1 && this.#held.length >= most + 4)) {
        throw new MultipartError(
          'header-too-large',
          `The headers of a part of the form exceed ${most} bytes.`,
        )
      }
      if (end !== -1) {
        const block = this.#held.subarray(0, end)
        this.#held = this.#held.subarray(end + CRLF.length)
        return block
      }
      await this.#pull()
    }
  }

  /** Yields the content of the part whose headers were read. */
  async *body(): AsyncGenerator<Uint8Array, void, undefined> {
    let lineEnd = CRLF.length
    for await (const bytes of this.content()) {
      if (bytes.length > lineEnd) yield bytes.subarray(lineEnd)
      lineEnd = 0
    }
  }

  /** Whatever follows the closing delimiter, to the end of the source. */
  async *rest(): AsyncGenerator<Uint8Array, void, undefined> {
    yield this.#held
    for (;;) {
      const next = await this.#source.next()
      if (next.done === true) return
      yield next.value
    }
  }

  /**
   * Reads the line of a delimiter found at `at`. A line that only starts like one is content: a
   * parser that ends the part there would store fewer bytes than were sent.
   */
  #delimiterLineAt(at: number): 'unfinished' | 'content' | { bytes: number; closing: boolean } {
    const held = this.#held
    const start = at + this.#delimiter.length
    if (held[start] === DASH) {
      if (held.length === start + 1) return 'unfinished'
      return held[start + 1] === DASH
        ? { bytes: this.#delimiter.length + 2, closing: true }
        : 'content'
    }
    let end = start
    while (held[end] === SPACE || held[end] === TAB) end += 1
    if (end - start > transportPaddingBytes) return 'content'
    if (end === held.length) return 'unfinished'
    if (held[end] !== CR) return 'content'
    if (end + 1 === held.length) return 'unfinished'
    return held[end + 1] === LF ? { bytes: end + 2 - at, closing: false } : 'content'
  }

  /** How many of the last bytes held may be the beginning of a delimiter. */
  #openingTail(): number {
    const held = this.#held
    const longest = Math.min(held.length, this.#delimiter.length - 1)
    for (let at = held.length - longest; at < held.length; at += 1) {
      at = held.indexOf(CR, at)
      if (at === -1) return 0
      if (this.#delimiter.subarray(0, held.length - at).equals(held.subarray(at))) {
        return held.length - at
      }
    }
    return 0
  }

  async #pull(): Promise<void> {
    // The source's memory is its own again once more is asked of it.
    const held = Buffer.from(this.#held)
    const next = await this.#source.next()
    if (next.done === true) {
      throw new MultipartError('truncated', 'The form ends before its closing boundary.')
    }
    const { buffer, byteOffset, byteLength } = next.value
    const bytes = Buffer.from(buffer, byteOffset, byteLength)
    this.#held = held.length === 0 ? bytes : Buffer.concat([held, bytes])
  }
}
