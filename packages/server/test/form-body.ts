/** Bodies of multipart/form-data, byte by byte as a test wants them. */

export interface FormPart {
  readonly headers: readonly string[]
  readonly content: string | Uint8Array
}

/** @param epilogue what comes after the closing boundary; most clients write a line end. */
export function formBody(
  boundary: string,
  parts: readonly FormPart[],
  epilogue = '\r\n',
): Buffer<ArrayBuffer> {
  const pieces = parts.flatMap(({ headers, content }) => [
    Buffer.from(`--${boundary}\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--${epilogue}`)])
}

export function fieldPart(name: string, value: string): FormPart {
  return { headers: [`Content-Disposition: form-data; name="${name}"`], content: value }
}

/** @param name what stands behind `name="file"` of the part's header. */
export function filePart(
  content: string | Uint8Array = 'content',
  name = '; filename="file.bin"',
): FormPart {
  return { headers: [`Content-Disposition: form-data; name="file"${name}`], content }
}

/** The same bytes in the chunked coding, in pieces of these sizes, the last one again and again. */
export function chunked(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0, chunk = 0; at < bytes.length; chunk += 1) {
    const size = Math.min(sizes[Math.min(chunk, sizes.length - 1)] ?? 1, bytes.length - at)
    pieces.push(Buffer.from(`${size.toString(16)}\r\n`))
    pieces.push(Buffer.from(bytes.subarray(at, at + size)), Buffer.from('\r\n'))
    at += size
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')])
}

/** The head of a request that creates a file, up to where its body begins. */
export function createHead(apiKey: string, ...headers: string[]): string {
  const lines = ['POST /v1/files HTTP/1.1', 'Host: coffer', `Authorization: Bearer ${apiKey}`]
  return [...lines, ...headers, '', ''].join('\r\n')
}
