/** An upload whose client pauses after the first half of the content. */

import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { z } from 'zod'
import type { Coffer } from './start-coffer.ts'

const MiB = 1024 * 1024
/** So much that the server has begun to write it. */
const half = Buffer.alloc(MiB, 'half of it, ')

export interface HalfUpload {
  readonly content: Buffer
  /** Sends the rest and gives the id that the server answers with. */
  finish(): Promise<string>
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>
}

/** Resolves once the connection stands and the first half is sent. */
export async function uploadHalf({ url, key }: Coffer): Promise<HalfUpload> {
  const head =
    '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n' +
    '--b\r\ncontent-disposition: form-data; name="file"; filename="half.txt"\r\n\r\n'
  const tail = '\r\n--b--\r\n'
  const upload = request(`${url}/v1/files`, {
    method: 'POST',
    agent: false,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'multipart/form-data; boundary=b',
      'content-length': head.length + 2 * half.length + tail.length,
    },
  })
  const answered = once(upload, 'response')
  const closed = Promise.withResolvers<void>()
  upload.once('close', () => closed.resolve())
  // A connection that is cut is told of by `closed`, and by `finish` to whoever calls it.
  upload.on('error', () => {})
  answered.catch(() => {})
  upload.write(head)
  await new Promise((resolve) => upload.write(half, resolve))

  return {
    content: Buffer.concat([half, half]),
    async finish() {
      upload.write(half)
      upload.end(tail)
      const [answer] = (await answered) as [IncomingMessage]
      return z.object({ id: z.string() }).parse(await json(answer)).id
    },
    closed: closed.promise,
  }
}
