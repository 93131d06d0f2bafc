/** One request of a tus client: `@tus/server` knows what the protocol asks for, Uploads do it. */

import { toProblem } from '@coffer/contract'
import { Server } from '@tus/server'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { tusVersionUnsupported } from '../service/errors.ts'
import type { Uploads } from '../service/uploads.ts'
import { checksumAlgorithms, readChecksum } from './tus-checksum.ts'
import { createTusLocks } from './tus-locks.ts'
import { TusStore } from './tus-store.ts'
import { whileConnected } from './while-connected.ts'

const version = '1.0.0'

export interface TusNeeds {
  readonly uploads: Uploads
  /** Of one Upload. */
  readonly maxUploadBytes: number
  /** A longer request is stored in parts of this size, each durable before the next is read. */
  readonly maxPartBytes: number
}

export interface TusRequest {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly method: string
  /** Undefined where an Upload is created. */
  readonly id: string | undefined
  /** Where Uploads are created. */
  readonly path: string
}

/** Held while a request reads or changes an Upload; of another process, offsets tell. */
const locks = createTusLocks()

export async function answerTus(
  { uploads, maxUploadBytes, maxPartBytes }: TusNeeds,
  { request, reply, method, id, path }: TusRequest,
): Promise<FastifyReply> {
  const { headers } = request
  reply.header('tus-resumable', version)
  if (method === 'OPTIONS') reply.header('tus-checksum-algorithm', checksumAlgorithms.join(','))
  else if (headers['tus-resumable'] !== version) {
    reply.header('tus-version', version)
    throw tusVersionUnsupported()
  }

  const checksum = headers['upload-checksum']
  const store = new TusStore({
    ...{ uploads, request, reply, maxPartBytes },
    checksum: typeof checksum === 'string' ? readChecksum(checksum) : undefined,
  })
  const asked = new Request(`http://coffer${path}`, { method, headers: toHeaders(headers) })
  const giveWay = () => {
    if (!request.raw.complete) request.raw.destroy()
  }
  const response = await whileConnected(reply.raw, async (signal) => {
    const server = new Server({
      path,
      datastore: store,
      maxSize: maxUploadBytes,
      // Whatever stands before the server, it is found where the client has found it.
      relativeLocation: true,
      locker: locks.lockerFor(giveWay, signal),
      getFileIdFromRequest: () => id,
      // Before it is locked: nobody else's Uploads are.
      async onIncomingRequest() {
        if (id !== undefined) await store.find(id)
      },
      // A refusal of the library is no Error; all others have their own answer.
      onResponseError(_, error) {
        if (error instanceof Error) throw error
        return undefined
      },
    })
    let isDone = false
    try {
      const answered = await server.handleWeb(asked)
      isDone = answered.ok
      return answered
    } finally {
      // Its client never learns where it is, and its bytes would count as used for an hour.
      if (!isDone) await store.cancelCreated()
    }
  })

  for (const [name, value] of response.headers) {
    // Nothing else here is told to pages of other origins.
    const isOurs = name === 'content-length' || name.startsWith('access-control-')
    if (!isOurs) reply.header(name, value)
  }
  const { upload } = store
  if (upload?.status === 'pending') {
    reply.header('upload-expires', new Date(upload.expires_at * 1000).toUTCString())
  } else if (upload?.file) reply.header('coffer-file-id', upload.file.id)
  if (response.ok) return reply.code(response.status).send()
  const message = (await response.text()).trim()
  return (
    reply
      // The library has no other status from 500 on than that it does not know an extension.
      .code(response.status < 500 ? response.status : 400)
      .header('x-should-retry', 'false')
      .type('application/json; charset=utf-8')
      .send(toProblem('request_malformed', message, null))
  )
}

function toHeaders(headers: FastifyRequest['headers']): Headers {
  const result = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') result.set(name, value)
  }
  return result
}
