/** A store that has some of all that a server keeps, and what clients see of it. */

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { startServer } from '../../server/test/start-server.ts'
import type { TestStores } from '../../server/test/test-stores.ts'
import { sha256 } from './load.ts'

const KiB = 1024

/** Around all borders: nothing, rows of small blobs, files of blobs, blocks, parts of S3. */
const sizes = [0, 1, 2000, 16 * KiB, 16 * KiB + 1, 300 * KiB, 512 * KiB, 9 * KiB * KiB]

export interface Filled {
  /** Of two organizations. */
  readonly keys: readonly string[]
  /** A pending Upload with its parts, one of them sent twice into the file. */
  readonly upload: { readonly id: string; readonly parts: readonly string[]; readonly sum: string }
  /** Where a tus client has sent the first half of what it has. */
  readonly tus: {
    readonly path: string
    readonly rest: Uint8Array<ArrayBuffer>
    readonly sum: string
  }
  /** All Uploads, ended ones too. */
  readonly uploads: readonly string[]
  /** The id of a file that was deleted from between others. */
  readonly deleted: string
  /** Larger than what is kept as a row. */
  readonly large: readonly string[]
}

export interface Asking {
  readonly url: string
  readonly key: string
}

const Id = z.object({ id: z.string() })

export function ask({ url, key }: Asking, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  headers.set('authorization', `Bearer ${key}`)
  return fetch(`${url}${path}`, { ...init, headers })
}

function asJson(body: unknown): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
}

async function idOf(answer: Promise<Response>): Promise<string> {
  const response = await answer
  if (!response.ok) throw new Error(await response.text())
  return Id.parse(await response.json()).id
}

function beginUpload(asking: Asking, bytes: number): Promise<string> {
  const fields = { filename: 'whole.txt', purpose: 'user_data', mime_type: 'text/plain', bytes }
  return idOf(ask(asking, '/v1/uploads', asJson(fields)))
}

function addPart(asking: Asking, id: string, content: Uint8Array<ArrayBuffer>): Promise<string> {
  const body = new FormData()
  body.set('data', new Blob([content]))
  return idOf(ask(asking, `/v1/uploads/${id}/parts`, { method: 'POST', body }))
}

export function complete(
  asking: Asking,
  id: string,
  part_ids: readonly string[],
): Promise<Response> {
  return ask(asking, `/v1/uploads/${id}/complete`, asJson({ part_ids }))
}

export async function fill(stores: TestStores): Promise<Filled> {
  await using server = await startServer({ stores })
  const other = await server.addTenant()
  const large: string[] = []
  let deleted = ''
  for (const client of [server, other]) {
    for (const bytes of sizes) {
      const { id } = await client.create(randomBytes(bytes), { purpose: 'user_data' }, 'Ünï 𝄞.bin')
      if (bytes > 16 * KiB) large.push(id)
    }
    const gone = await client.create(randomBytes(20_000))
    deleted ||= gone.id
    await client.create('one that expires', {
      purpose: 'user_data',
      'expires_after[anchor]': 'created_at',
      'expires_after[seconds]': '86400',
    })
    await client.createFor('batch')
    await client.fetch(`/v1/files/${gone.id}`, { method: 'DELETE' })
  }
  const asking = { url: server.url, key: server.apiKey }
  const [one, two] = [randomBytes(70 * KiB), randomBytes(5 * KiB)]

  const ended = await beginUpload(asking, one.length + two.length)
  await complete(asking, ended, [
    await addPart(asking, ended, one),
    await addPart(asking, ended, two),
  ])
  const cancelled = await beginUpload(asking, 10)
  await addPart(asking, cancelled, randomBytes(3))
  await ask(asking, `/v1/uploads/${cancelled}/cancel`, { method: 'POST' })

  const id = await beginUpload(asking, 2 * one.length + two.length)
  const parts = [await addPart(asking, id, one), await addPart(asking, id, two)]
  const [first = '', second = ''] = parts

  const content = randomBytes(60 * KiB)
  const half = content.length / 2
  const protocol = { 'tus-resumable': '1.0.0' }
  const words = Object.entries({ filename: 'tus.bin', purpose: 'user_data' })
  const metadata = words.map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
  const created = await ask(asking, '/v1/tus', {
    method: 'POST',
    headers: {
      ...protocol,
      ...{ 'upload-length': String(content.length), 'upload-metadata': metadata.join(',') },
    },
  })
  const path = created.headers.get('location') ?? ''
  await sendTus(asking, path, { offset: 0, body: content.subarray(0, half) })
  return {
    keys: [server.apiKey, other.apiKey],
    upload: {
      ...{ id, parts: [first, second, first] },
      sum: sha256(Buffer.concat([one, two, one])),
    },
    tus: { path, rest: content.subarray(half), sum: sha256(content) },
    uploads: [ended, cancelled, id, path.replace('/v1/tus/', '')],
    deleted,
    large,
  }
}

export function sendTus(
  asking: Asking,
  path: string,
  { offset, body }: { offset: number; body: Uint8Array<ArrayBuffer> },
): Promise<Response> {
  return ask(asking, path, {
    method: 'PATCH',
    headers: {
      ...{ 'tus-resumable': '1.0.0', 'upload-offset': String(offset) },
      'content-type': 'application/offset+octet-stream',
    },
    body,
  })
}

const Page = z.object({ data: z.array(z.looseObject({ id: z.string() })), has_more: z.boolean() })

/** All that clients can ask for, which must be the same at any server of the store. */
export async function look(url: string, { keys, uploads, deleted }: Filled) {
  const seen = []
  for (const key of keys) {
    const asking = { url, key }
    const page = Page.parse(await (await ask(asking, '/v1/files?limit=1000')).json())
    const contents = []
    for (const { id } of page.data) contents.push(await readSum(asking, id))
    const behind = await (await ask(asking, `/v1/files?after=${deleted}`)).json()
    const states = []
    for (const id of uploads) {
      states.push(await (await ask(asking, `/v1/uploads/${id}`)).json())
      states.push(await (await ask(asking, `/v1/uploads/${id}/parts`)).json())
    }
    seen.push({
      page,
      contents,
      behind: withoutRequest(behind),
      states: states.map(withoutRequest),
    })
  }
  return seen
}

/** Some refusals name the request. */
function withoutRequest(answer: unknown): unknown {
  return JSON.parse(JSON.stringify(answer).replaceAll(/req_[0-9a-f]+/g, 'req'))
}

/** The SHA-256 of the content, or the status that says why there is none. */
export async function readSum(asking: Asking, id: string): Promise<string | number> {
  const answer = await ask(asking, `/v1/files/${id}/content`)
  const content = new Uint8Array(await answer.arrayBuffer())
  return answer.status === 200 ? sha256(content) : answer.status
}
