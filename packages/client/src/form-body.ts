/** A form with one file as the body of a request, streamed (RFC 7578). */

import type { RequestBody } from './api-client.ts'
import type { UploadSource } from './upload-source.ts'
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
    const blob = new Blob([head, await blobOf(source), tail])
    const { onProgress } = form
    return {
      contentType,
      bytes: blob.size,
      isReplayable: true,
      open: () => blob,
      send: sendByXhr((sent) => {
        onProgress?.(
          Math.min(Math.max(sent - head.length, 0), blob.size - head.length - tail.length),
        )
      }),
    }
  }

  return {
    contentType,
    bytes,
    isReplayable: source.isReplayable,
    open: (moved) => toStream(assemble(head, source, tail, form.onProgress), moved),
  }
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
    yield piece
    sent += piece.length
    onProgress?.(sent)
  }
  yield tail
}

function toStream(
  pieces: AsyncGenerator<Uint8Array>,
  moved: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        const next = await pieces.next()
        if (next.done === true) return controller.close()
        moved(next.value.length)
        controller.enqueue(next.value)
      },
      async cancel() {
        await pieces.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

/** A browser keeps a large Blob on its disk. */
async function blobOf(source: UploadSource): Promise<Blob> {
  const pieces: BlobPart[] = []
  for await (const piece of source.open()) pieces.push(new Uint8Array(piece))
  return new Blob(pieces)
}
