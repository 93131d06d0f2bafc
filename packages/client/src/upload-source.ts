/** What can be uploaded, and how it becomes the body of a request. */

/** Content from somewhere that this package does not know, such as a file on a disk. */
export interface UploadSource {
  /** The file's name, unless the options name another. */
  readonly name: string | undefined
  /** Undefined where it is not known before it ends. */
  readonly bytes: number | undefined
  /** Whether `open` can be called again, for another try. */
  readonly isReplayable: boolean
  /** The same content, where it is a Blob: a browser sends that without reading it first. */
  readonly blob?: Blob | undefined
  /** The same content, where it is in memory. */
  readonly content?: Uint8Array | undefined
  open(): AsyncIterable<Uint8Array>
  /** The bytes from `start` to before `end`, where they can be read alone. */
  slice?(start: number, end: number): UploadSource
}

export type Uploadable =
  | Blob
  | Uint8Array
  | ArrayBuffer
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | UploadSource

/** A source over anything that can be uploaded; a Blob or bytes are not copied. */
export function toUploadSource(content: Uploadable): UploadSource {
  if ('open' in content) return content
  if (content instanceof Blob) return fromBlob(content)
  if (content instanceof ArrayBuffer) return toUploadSource(new Uint8Array(content))
  if (content instanceof Uint8Array) {
    return {
      name: undefined,
      bytes: content.length,
      isReplayable: true,
      content,
      async *open() {
        yield content
      },
      slice: (start, end) => toUploadSource(content.subarray(start, end)),
    }
  }
  if (content instanceof ReadableStream) return fromIterable(() => piecesOf(content))
  return fromIterable(() => content)
}

function fromBlob(blob: Blob): UploadSource {
  return {
    name: 'name' in blob && typeof blob.name === 'string' ? blob.name : undefined,
    bytes: blob.size,
    isReplayable: true,
    blob,
    open: () => piecesOf(blob.stream()),
    slice: (start, end) => fromBlob(blob.slice(start, end)),
  }
}

function fromIterable(open: () => AsyncIterable<Uint8Array>): UploadSource {
  return { name: undefined, bytes: undefined, isReplayable: false, open }
}

/** A browser keeps a large Blob on its disk. */
export async function toBlob(source: UploadSource): Promise<Blob> {
  if (source.blob !== undefined) return source.blob
  const pieces: BlobPart[] = []
  for await (const piece of source.open()) pieces.push(new Uint8Array(piece))
  return new Blob(pieces)
}

/** Not every browser can iterate a stream. */
async function* piecesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const next = await reader.read()
      if (next.done) return
      yield next.value
    }
  } finally {
    await reader.cancel()
  }
}
