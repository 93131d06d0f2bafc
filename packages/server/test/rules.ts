/** Sends files as clients do, and reads what the content rules say of them. */

import { type ContentFault, FileCheck, Problem } from '@coffer/contract'
import { expect } from 'vitest'
import { checkAnswer } from './answers.ts'
import { fieldPart, filePart, formBody } from './form-body.ts'
import type { Client, TestServer } from './start-server.ts'

export interface SentFile {
  readonly purpose: string
  readonly filename: string
  readonly content: string | Uint8Array
}

/** How a form comes: in what order, and whether it says its length. */
export interface Way {
  readonly first: 'purpose' | 'file'
  readonly framing: 'length' | 'chunks'
}

export const ways: readonly Way[] = [
  { first: 'purpose', framing: 'length' },
  { first: 'purpose', framing: 'chunks' },
  { first: 'file', framing: 'length' },
  { first: 'file', framing: 'chunks' },
]

const [usual] = ways as [Way]

export function send(
  client: Client,
  { purpose, filename, content }: SentFile,
  { first, framing }: Way = usual,
  path = '/v1/files',
): Promise<Response> {
  const parts = [fieldPart('purpose', purpose), filePart(content, `; filename="${filename}"`)]
  const body = formBody('cut-here', first === 'file' ? parts.reverse() : parts)
  return client.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=cut-here' },
    ...(framing === 'length'
      ? { body }
      : { body: new Blob([body]).stream(), duplex: 'half' as const }),
  })
}

/** What a refusal of content says. */
export interface Refused {
  readonly message: string
  readonly param: string | null
  readonly details: readonly ContentFault[]
  readonly details_total: number
}

/** Reads an answer that must refuse content. */
export async function readRefused(response: Response): Promise<Refused> {
  await checkAnswer(response)
  const { error, details, details_total } = Problem.parse(await response.json())
  const { message, param, type, code } = error
  expect({ status: response.status, type, code }).toEqual({
    ...{ status: 400, type: 'invalid_request_error', code: null },
  })
  if (details === undefined || details_total === undefined) expect.fail(message)
  return { message, param, details, details_total }
}

/** Sends a file that must be refused for its content, and checks that nothing is left of it. */
export async function refusedOf(
  server: TestServer,
  client: Client,
  file: SentFile,
  way: Way = usual,
): Promise<Refused> {
  const before = [await server.stored(), await client.usedBytes(), await client.list()]
  const refused = await readRefused(await send(client, file, way))
  expect([await server.stored(), await client.usedBytes(), await client.list()]).toEqual(before)
  return refused
}

/** Has a file checked, and checks that nothing is kept of it. */
export async function checkOf(
  server: TestServer,
  client: Client,
  file: SentFile,
  way: Way = usual,
): Promise<FileCheck> {
  const before = [await server.stored(), await client.usedBytes(), await client.list()]
  const response = await send(client, file, way, '/v1/files/check')
  expect(response.status).toBe(200)
  const check = FileCheck.parse(await response.json())
  expect([await server.stored(), await client.usedBytes(), await client.list()]).toEqual(before)
  return check
}

/** A fault of a line, with what most of them have. */
export function fault(
  line: number,
  offset: number,
  rest: Omit<ContentFault, 'line' | 'offset' | 'param'> & { param?: string },
): ContentFault {
  return { line, offset, param: null, ...rest }
}
