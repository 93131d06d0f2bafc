/** Clients that upload in parts, and keep a record of their own of what was acknowledged. */

import { randomInt } from 'node:crypto'
import { type Acknowledged, sha256, someBytes } from './load.ts'
import type { Coffer } from './start-coffer.ts'
import { type UploadClient, uploadClientOf } from './upload-client.ts'

const KiB = 1024

/** An Upload that its client has begun, as far as the answers have told. */
export interface KnownUpload {
  readonly id: string
  readonly contents: readonly Uint8Array<ArrayBuffer>[]
  /** The ids of its parts, by their place in the content; those that are acknowledged. */
  readonly parts: Map<number, string>
}

export interface UploadLoad {
  /** Resolves once so many more Uploads are completed, or all clients have ended. */
  completed(count: number): Promise<void>
  /** Resolves, once the server is gone, to the Uploads whose completion nobody has heard of. */
  readonly ended: Promise<KnownUpload[]>
}

/** @param known gets the files of the completed Uploads. */
export function startUploadLoad(
  coffer: Coffer,
  known: Acknowledged,
  { clients = 6 } = {},
): UploadLoad {
  const client = uploadClientOf(coffer)
  const enough = new Set<() => void>()
  let count = 0

  async function uploadOne(open: Set<KnownUpload>): Promise<void> {
    const contents = someContents()
    const upload = { id: await client.begin(sum(contents)), contents, parts: new Map() }
    open.add(upload)
    await finishUpload(client, upload, known)
    open.delete(upload)
    count += 1
    for (const look of enough) look()
  }

  async function work(): Promise<Set<KnownUpload>> {
    const open = new Set<KnownUpload>()
    try {
      for (;;) await uploadOne(open)
    } catch (error) {
      // What `fetch` says when the connection breaks; anything else is a fault.
      if (!(error instanceof TypeError)) throw error
    }
    return open
  }

  const ended = Promise.all(Array.from({ length: clients }, work)).then((open) =>
    open.flatMap((uploads) => [...uploads]),
  )
  // A fault is heard of by whoever waits for the end, which may be later.
  ended.catch(() => {})
  return {
    ended,
    async completed(more) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const wanted = count + more
      const look = () => count >= wanted && resolve()
      enough.add(look)
      await Promise.race([promise, ended])
      enough.delete(look)
    },
  }
}

/** Sends the parts that are not acknowledged, side by side, and completes the Upload. */
export async function finishUpload(
  client: UploadClient,
  { id, contents, parts }: KnownUpload,
  known: Acknowledged,
): Promise<void> {
  const sent = contents.map(async (content, place) => {
    if (parts.has(place)) return
    parts.set(place, (await client.send(id, content)).id)
  })
  // All of them, so that nobody writes on this record once it is looked at.
  for (const outcome of await Promise.allSettled(sent)) {
    if (outcome.status === 'rejected') throw outcome.reason
  }
  const file = await client.complete(
    id,
    contents.map((_, place) => parts.get(place) ?? ''),
  )
  known.stored.set(file.id, sha256(Buffer.concat(contents)))
}

/** Some parts for the database of small blobs, and some for files of their own. */
function someContents(): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: 1 + randomInt(5) }, () =>
    someBytes(1 + randomInt(randomInt(2) === 0 ? 16 * KiB : 200 * KiB)),
  )
}

function sum(contents: readonly Uint8Array[]): number {
  return contents.reduce((bytes, content) => bytes + content.length, 0)
}
