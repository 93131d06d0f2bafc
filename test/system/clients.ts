/** Clients of all sorts, on connections of their own. */

import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Coffer, type Program, runProgram } from '../../packages/cli/test/start-coffer.ts'
import { createHead, fieldPart, filePart, formBody } from '../../packages/server/test/form-body.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** Asks on a new connection. Rejects if it is refused or cut before the answer is whole. */
export async function ask(
  { url, key }: Coffer,
  path: string,
  { method = 'GET', type, body }: { method?: string; type?: string; body?: Uint8Array } = {},
): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${key}`,
    ...(type === undefined ? {} : { 'content-type': type, 'content-length': body?.length ?? 0 }),
  }
  const asking = request(`${url}${path}`, { method, agent: false, headers })
  const answered = once(asking, 'response')
  // An answer may come before all is sent, and then the connection ends.
  asking.on('error', () => {})
  asking.end(body)
  const [response]: IncomingMessage[] = await answered
  if (response === undefined) throw new Error('There was no answer.')
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await buffer(response),
  }
}

export const formType = 'multipart/form-data; boundary=cut-here'

export function formOf(content: string | Uint8Array, filename = 'file.bin'): Buffer<ArrayBuffer> {
  const file = filePart(content, `; filename="${filename}"`)
  return formBody('cut-here', [fieldPart('purpose', 'user_data'), file])
}

export function upload(coffer: Coffer, content: Uint8Array, filename?: string): Promise<Answer> {
  const body = formOf(content, filename)
  return ask(coffer, '/v1/files', { method: 'POST', type: formType, body })
}

/** Begins an upload of which only so many bytes are sent; resolves once the kernel has them. */
export async function beginUpload(
  { url, key }: Coffer,
  body: Uint8Array,
  bytes: number,
): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
  socket.on('error', () => {})
  const head = createHead(key, `Content-Type: ${formType}`, `Content-Length: ${body.length}`)
  await new Promise((resolve) => {
    socket.once('close', resolve)
    socket.write(Buffer.concat([Buffer.from(head), body.subarray(0, bytes)]), resolve)
  })
  socket.resume()
  return socket
}

/** Asks for a content and reads nothing by itself. */
export async function beginDownload({ url, key }: Coffer, id: string): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  const lines = [`GET /v1/files/${id}/content HTTP/1.1`, 'Host: a', 'Connection: close']
  socket.write([...lines, `Authorization: Bearer ${key}`, '', ''].join('\r\n'))
  return socket
}

/** Uploads a file of the disk with a process of its own, and gives what curl printed. */
export async function curlUpload(
  { url, key }: Coffer,
  path: string,
  ...options: string[]
): Promise<string> {
  const form = ['-F', 'purpose=user_data', '-F', `file=@${path}`]
  const args = [
    '-sS',
    '--fail-with-body',
    '-H',
    `Authorization: Bearer ${key}`,
    ...options,
    ...form,
  ]
  await using program: Program = runProgram('curl', [...args, `${url}/v1/files`])
  const { code } = await program.ended
  if (code !== 0) throw new Error(`curl ended with ${code}: ${program.stderr}${program.stdout}`)
  return program.stdout
}

/** The value that so much of the values do not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
}
