/** What asks the servers: curl for large files, `load.ts` for many requests. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Load, LoadResult } from './load.ts'
import { key } from './servers/coffer.ts'

const authorization = `Authorization: Bearer ${key}`

/** @returns what curl printed. @throws if the answer is no success. */
export async function curl(...args: readonly string[]): Promise<string> {
  const child = spawn('curl', ['-sfS', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const printed = text(child.stdout)
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`curl ${args.join(' ')} ended with ${code}`)
  return printed
}

/** The arguments that upload a file of the disk to Coffer. */
export function curlUpload(port: number, path: string, purpose = 'user_data'): string[] {
  const form = ['-F', `purpose=${purpose}`, '-F', `file=@${path}`]
  return ['-H', authorization, ...form, `http://127.0.0.1:${port}/v1/files`]
}

/** The arguments that ask Coffer for something below `/v1/files`. */
export function curlAsk(port: number, path: string, ...args: readonly string[]): string[] {
  return ['-H', authorization, ...args, `http://127.0.0.1:${port}/v1/files${path}`]
}

/** The same below `/v1/uploads`. */
export function curlAskUploads(port: number, path: string, ...args: readonly string[]): string[] {
  return ['-H', authorization, ...args, `http://127.0.0.1:${port}/v1/uploads${path}`]
}

export async function runLoad(load: Load): Promise<LoadResult> {
  const program = join(import.meta.dirname, 'load.ts')
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify(load))
  const printed = text(child.stdout)
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`The load ended with ${code}.`)
  return JSON.parse(await printed)
}

/** The head of a request to Coffer. */
export function cofferHead(line: string, headers: readonly string[] = []): string {
  return [`${line} HTTP/1.1`, 'Host: bench', authorization, ...headers, '', ''].join('\n')
}

const boundary = 'coffer-bench'
const formEnd = `\r\n--${boundary}--\r\n`

/** A form with one file, as the head and the body of a request to Coffer. */
export function uploadOf(content: Buffer): { head: string; body: string } {
  const body = Buffer.concat([
    Buffer.from(`${formPart('name="purpose"')}user_data\r\n`),
    Buffer.from(formPart('name="file"; filename="file.bin"')),
    content,
    Buffer.from(formEnd),
  ])
  const head = cofferHead('POST /v1/files', formHeaders(body.length))
  return { head, body: body.toString('base64') }
}

/**
 * A form with a part of an Upload, for `runLoad`.
 *
 * @param begins what its bytes begin with. @param bytes how many random ones follow.
 */
export function partOf(id: string, begins: string, bytes: number): { head: string; body: string } {
  const begin = formPart('name="data"; filename="part.bin"') + begins
  const headers = formHeaders(begin.length + bytes + formEnd.length)
  const head = cofferHead(`POST /v1/uploads/${id}/parts`, headers)
  // A load makes line ends of its own.
  return { head: head + begin.replaceAll('\r', ''), body: btoa(formEnd) }
}

function formPart(disposition: string): string {
  return `--${boundary}\r\ncontent-disposition: form-data; ${disposition}\r\n\r\n`
}

function formHeaders(bytes: number): string[] {
  const type = `Content-Type: multipart/form-data; boundary=${boundary}`
  return [type, `Content-Length: ${bytes}`]
}
