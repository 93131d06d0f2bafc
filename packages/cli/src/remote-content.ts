/** The content of a file at a service, as a stream that goes on where its connection broke. */

import {
  ApiException,
  ConnectionException,
  type FileContent,
  type FilesApi,
  type OpenAIFile,
  UnexpectedAnswerException,
} from '@coffer/client'

/** How often reading goes on after the connection broke without a single new byte. */
const fruitlessTries = 3
/** How often what a service tells of a file and what it sends may differ. */
const differingTries = 3

export interface RemoteContent extends AsyncDisposable {
  /** Undefined where the service does not say. */
  readonly bytes: number | undefined
  /**
   * The bytes from `start` to before `end`, or to the end of the file. What is read in order comes
   * by one request; anything else takes another. Rejects unless it is just so many bytes.
   */
  read(start: number, end: number | undefined): AsyncGenerator<Uint8Array>
}

/** A request for the content, which has been read up to `at`. */
interface Stream {
  readonly content: FileContent
  readonly pieces: AsyncIterator<Uint8Array>
  at: number
  /** What came with the last piece and was not wanted yet. */
  rest: Uint8Array | undefined
}

/**
 * Resolves when the content begins to come.
 *
 * @throws ApiException; UnexpectedAnswerException if the content has another size than its file.
 */
export async function openRemote(
  files: FilesApi,
  file: OpenAIFile,
  outer: AbortSignal,
): Promise<RemoteContent> {
  const ending = new AbortController()
  const signal = AbortSignal.any([outer, ending.signal])
  const { id } = file
  const first = await openFirst(files, file, signal)
  const { etag } = first.content
  const { bytes } = first
  /** What the next reader goes on with. */
  let parked: Stream | undefined = toStream(first.content, 0)

  async function take(at: number): Promise<Stream> {
    const stream = parked
    parked = undefined
    if (stream?.at === at) return stream
    await stream?.content.cancel()
    return open(at)
  }

  async function open(at: number): Promise<Stream> {
    const options = at === 0 ? {} : { range: { start: at }, ifRange: etag }
    const content = await files.openFile(id, { ...options, signal }).catch((error: unknown) => {
      const isEnd = error instanceof ApiException && error.status === 416
      throw isEnd ? new Short(at, bytes ?? at) : error
    })
    const { start, totalBytes } = content
    // Not every service knows ranges.
    const isFitting = start === at || start === 0
    if (!isFitting || content.etag !== etag || (totalBytes ?? bytes) !== bytes) {
      await content.cancel()
      throw new UnexpectedAnswerException('The content changed while it was read.')
    }
    const stream = toStream(content, start)
    await skipTo(stream, at)
    return stream
  }

  async function* read(start: number, end = bytes): AsyncGenerator<Uint8Array> {
    let at = start
    let stream: Stream | undefined
    let isDone = false
    try {
      for (let fruitless = 0; end === undefined || at < end; ) {
        const before = at
        let piece: Uint8Array | undefined
        try {
          stream ??= await take(at)
          piece = await nextOf(stream, end)
          if (piece === undefined && end !== undefined) throw new Short(at, end)
        } catch (error) {
          outer.throwIfAborted()
          await stream?.content.cancel()
          stream = undefined
          fruitless += 1
          if (!mayGoOn(error) || fruitless === fruitlessTries) throw error
          continue
        }
        if (piece === undefined) break
        at = before + piece.length
        fruitless = 0
        yield piece
      }
      stream ??= await take(at)
      if (at === bytes && (await nextOf(stream, undefined).catch(() => undefined)) !== undefined) {
        throw new UnexpectedAnswerException(`More bytes came than ${bytes}.`)
      }
      isDone = true
    } finally {
      if (isDone) parked = stream
      else await stream?.content.cancel()
    }
  }

  return { bytes, read, [Symbol.asyncDispose]: async () => ending.abort() }
}

/** A clean end, before the file's. */
class Short extends UnexpectedAnswerException {
  constructor(at: number, end: number) {
    super(`${at} bytes came of ${end}.`)
  }
}

function mayGoOn(error: unknown): boolean {
  return error instanceof ConnectionException || error instanceof Short
}

/** What is told of a file may be old: it is asked for again before the two are said to differ. */
async function openFirst(
  files: FilesApi,
  listed: OpenAIFile,
  signal: AbortSignal,
): Promise<{ content: FileContent; bytes: number | undefined }> {
  let file = listed
  for (let tries = 1; ; tries += 1) {
    const content = await files.openFile(file.id, { signal })
    const told = typeof file.bytes === 'number' ? file.bytes : undefined
    const bytes = content.totalBytes ?? told
    if (told === undefined || told === bytes) return { content, bytes }
    await content.cancel()
    if (tries === differingTries) {
      throw new UnexpectedAnswerException(
        `The service says that it has ${told} bytes, and sends ${bytes}.`,
      )
    }
    file = await files.retrieveFile(file.id, { signal })
  }
}

function toStream(content: FileContent, at: number): Stream {
  return { content, pieces: content[Symbol.asyncIterator](), at, rest: undefined }
}

/** The next bytes, none of them behind `end`; undefined where the content ends. */
async function nextOf(stream: Stream, end: number | undefined): Promise<Uint8Array | undefined> {
  let piece = stream.rest
  // An empty piece would look like no progress.
  while (piece === undefined || piece.length === 0) {
    const next = await stream.pieces.next()
    if (next.done === true) return undefined
    piece = next.value
  }
  const wanted = end === undefined ? piece : piece.subarray(0, end - stream.at)
  stream.rest = piece.subarray(wanted.length)
  stream.at += wanted.length
  return wanted
}

async function skipTo(stream: Stream, at: number): Promise<void> {
  while (stream.at < at) {
    if ((await nextOf(stream, at)) === undefined) throw new Short(stream.at, at)
  }
}
