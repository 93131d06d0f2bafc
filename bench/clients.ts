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
export function curlUpload(port: number, path: string): string[] {
  const form = ['-F', 'purpose=user_data', '-F', `file=@${path}`]
  return ['-H', authorization, ...form, `http://127.0.0.1:${port}/v1/files`]
}

/** The arguments that ask Coffer for something below `/v1/files`. */
export function curlAsk(port: number, path: string, ...args: readonly string[]): string[] {
  return ['-H', authorization, ...args, `http://127.0.0.1:${port}/v1/files${path}`]
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

/** A form with one file, as the head and the body of a request to Coffer. */
export function uploadOf(content: Buffer): { head: string; body: string } {
  const part = (header: string) => `--${boundary}\r\ncontent-disposition: form-data; ${header}`
  const body = Buffer.concat([
    Buffer.from(`${part('name="purpose"')}\r\n\r\nuser_data\r\n`),
    Buffer.from(`${part('name="file"; filename="file.bin"')}\r\n\r\n`),
    content,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  const headers = [
    `Content-Type: multipart/form-data; boundary=${boundary}`,
    `Content-Length: ${body.length}`,
  ]
  return { head: cofferHead('POST /v1/files', headers), body: body.toString('base64') }
}
