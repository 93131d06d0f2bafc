/** A form with one file as the body of a request, streamed (RFC 7578). */

import type { BodyWatch, RequestBody } from './api-client.ts'
import { toBlob, type UploadSource } from './upload-source.ts'
import { sendByXhr } from './xhr.ts'

export interface Form {
  readonly fields: Readonly<Record<string, string>>
  /** The name of the form's field that holds the file. */
  readonly fileField: string
  readonly filename: string
  readonly source: UploadSource
  /** Told how many bytes of the file have been taken. */
  readonly onProgress?: ((sent: number) => void) | undefined
}

/** Small enough that one goes out over a slow line before the request counts as idle. */
const pieceBytes = 64 * 1024

/**
 * The fields come first, so that a server can refuse a form before it reads the file. In a browser
 * the whole is a Blob, as none streams a request over HTTP/1.1; its parts stay where they are.
 */
export async function toRequestBody(form: Form): Promise<RequestBody> {
  const boundary = `coffer-${crypto.randomUUID()}`
  const encoder = new TextEncoder()
  const head = encoder.encode(headOf(form, boundary))
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`)
  const contentType = `multipart/form-data; boundary=${boundary}`
  const { source } = form
  const bytes = source.bytes === undefined ? undefined : head.length + source.bytes + tail.length

  if (typeof XMLHttpRequest !== 'undefined') {
    const blob = new Blob([head, await toBlob(source), tail])
    const { onProgress } = form
    return {
      contentType,
      bytes: blob.size,
      isReplayable: true,
      open: () => blob,
      send: (watch) =>
        sendByXhr((sent) => {
          watch.moved()
          onProgress?.(
            Math.min(Math.max(sent - head.length, 0), blob.size - head.length - tail.length),
          )
        }),
    }
  }

  const { content } = source
  if (content !== undefined && content.length <= pieceBytes) {
    // A stream costs more than all else that is done for so little.
    const whole = join([head, content, tail])
    return {
      contentType,
      bytes,
      isReplayable: true,
      open() {
        form.onProgress?.(content.length)
        return whole
      },
    }
  }

  return {
    contentType,
    bytes,
    isReplayable: source.isReplayable,
    open: (watch) => toStream(assemble(head, source, tail, form.onProgress), watch),
  }
}

function join(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((bytes, piece) => bytes + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

function headOf({ fields, fileField, filename }: Form, boundary: string): string {
  const parts = Object.entries(fields).map(
    ([name, value]) =>
      `--${boundary}\r\ncontent-disposition: form-data; name="${escapeName(name)}"\r\n\r\n${value}\r\n`,
  )
  return (
    `${parts.join('')}--${boundary}\r\n` +
    `content-disposition: form-data; name="${fileField}"; filename="${escapeName(filename)}"\r\n` +
    'content-type: application/octet-stream\r\n\r\n'
  )
}

/** As browsers write names (WHATWG HTML, multipart/form-data). */
function escapeName(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

async function* assemble(
  head: Uint8Array,
  source: UploadSource,
  tail: Uint8Array,
  onProgress: Form['onProgress'],
): AsyncGenerator<Uint8Array> {
  yield head
  let sent = 0
  for await (const piece of source.open()) {
    for (let start = 0; start < piece.length; start += pieceBytes) {
      const part = piece.subarray(start, start + pieceBytes)
      yield part
      sent += part.length
      onProgress?.(sent)
    }
  }
  yield tail
}

function toStream(
  pieces: AsyncGenerator<Uint8Array>,
  watch: BodyWatch,
): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        // Fetch goes on reading a body whose request was ended, and throws away what it reads.
        if (watch.signal.aborted) {
          await pieces.return(undefined)
          throw watch.signal.reason
        }
        const next = await pieces.next().catch((reason: unknown) => {
          watch.failed(reason)
          throw reason
        })
        if (next.done === true) return controller.close()
        watch.moved()
        controller.enqueue(next.value)
      },
      async cancel() {
        await pieces.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}
