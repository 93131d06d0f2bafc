/**
 * Writes blobs as objects of a bucket: in one request where the content fits into one part, else in
 * parts that become an object together, or nothing.
 *
 * By the commands themselves, as `Upload` of `@aws-sdk/lib-storage` holds two parts to make one, knows
 * no bound for all uploads together, and aborts once, whose failure then hides that of the source.
 */

import { randomUUID } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { BlobError } from './blob-error.ts'
import { isAbsent, isNamed, isRefused, isStatus, type S3Store, StoreSilent } from './s3-store.ts'
import { leastPartBytes, type Part, partBytes, type UploadMemory } from './upload-memory.ts'

/** Names the write that made an object, so that it is known again when an answer was lost. */
const writeName = 'coffer-write'

/** How often parts that land after an abort are removed; each time takes all that have. */
const abortsAtMost = 4

export interface S3WriterNeeds {
  readonly store: S3Store
  readonly memory: UploadMemory
  /** Whether the store refuses to replace an object when asked to (`If-None-Match: *`). */
  readonly isConditional: boolean
}

export interface S3Writer {
  /** As a `BlobDriver` does. */
  write(id: string, source: AsyncIterable<Uint8Array>): Promise<void>
  /** The ids of multi-part uploads that are under way here. */
  readonly running: ReadonlySet<string>
}

export function createS3Writer({ store, memory, isConditional }: S3WriterNeeds): S3Writer {
  /** Blobs being written, which settles who is first where the store does not. */
  const writing = new Set<string>()
  const running = new Set<string>()

  async function write(id: string, source: AsyncIterable<Uint8Array>): Promise<void> {
    const target = createTarget(store, id, isConditional)
    const pieces = source[Symbol.asyncIterator]()
    let part = memory.part()
    let upload: MultipartUpload | undefined
    let bytes = 0
    let isRead = false

    async function sendPart(): Promise<void> {
      upload ??= createMultipartUpload(target, running)
      const full = part
      part = memory.part()
      await upload.add(full)
    }

    try {
      let asked = pieces.next()
      for (;;) {
        // A source that fails has ended.
        asked.catch(() => {
          isRead = true
        })
        const next = await part.next(asked)
        if (next === undefined) {
          if (part.bytes < leastPartBytes) throw tooSlow()
          await sendPart()
          continue
        }
        if (next.done === true) break
        if (part.bytes + next.value.length > partBytes) await sendPart()
        await part.add(next.value)
        bytes += next.value.length
        asked = pieces.next()
      }
      isRead = true
      if (upload === undefined) {
        await target.put(part.content())
        return
      }
      await upload.add(part)
      await upload.complete(bytes)
    } catch (error) {
      part.end()
      await upload?.abort()
      throw error
    } finally {
      part.end()
      upload?.end()
      // The last, as it waits for a piece that is still asked for.
      if (!isRead) await pieces.return?.()
    }
  }

  return {
    running,
    async write(id, source) {
      if (isConditional) {
        await write(id, source)
        return
      }
      if (writing.has(id)) throw exists(id)
      writing.add(id)
      try {
        await write(id, source)
      } finally {
        writing.delete(id)
      }
    },
  }
}

type Target = ReturnType<typeof createTarget>

/** The object that a blob becomes. */
function createTarget(store: S3Store, id: string, isConditional: boolean) {
  const object = { Bucket: store.bucket, Key: store.keyOf(id) }
  const mark = randomUUID()
  const condition = isConditional ? { IfNoneMatch: '*' } : {}

  /** Whether this write made the object, as far as the store can be asked. */
  async function isMade(bytes: number): Promise<boolean> {
    try {
      const head = await store.askWithin(store.limits.settleMilliseconds, (client, options) =>
        client.send(new HeadObjectCommand(object), options),
      )
      return head.Metadata?.[writeName] === mark && head.ContentLength === bytes
    } catch {
      return false
    }
  }

  /** Where the store does not refuse: two processes never write the same id, which is random. */
  async function requireFree(): Promise<void> {
    if (isConditional) return
    try {
      await store.ask((client, options) => client.send(new HeadObjectCommand(object), options))
    } catch (error) {
      if (isAbsent(error)) return
      throw error
    }
    throw exists(id)
  }

  return {
    store,
    object,
    metadata: { [writeName]: mark },
    condition,

    /** Has the object made by a request, of which only the answer may be lost. */
    async make(bytes: number, request: () => Promise<unknown>): Promise<void> {
      await requireFree()
      try {
        await request()
      } catch (error) {
        if (error instanceof StoreSilent) throw error
        // An attempt before the last may have made it, which then looks like somebody else's.
        if (await isMade(bytes)) return
        throw isRefused(error) ? exists(id, error) : error
      }
    },

    put(content: Uint8Array): Promise<void> {
      const request = {
        ...{ ...object, ...condition, Metadata: { [writeName]: mark } },
        ...{ Body: content, ChecksumCRC32: checksumOf(content) },
      }
      return this.make(content.length, () =>
        store.askToSend((client, options) => client.send(new PutObjectCommand(request), options)),
      )
    },
  }
}

type MultipartUpload = ReturnType<typeof createMultipartUpload>

/** Parts on their way to one object; nothing is asked of the store before the first. */
function createMultipartUpload(target: Target, running: Set<string>) {
  const { store, object } = target
  const parts: CompletedPart[] = []
  const leaving = new AbortController()
  let id: string | undefined
  let creating: Promise<string> | undefined
  /** The sending of the last part, and of the one before it. */
  let sending = Promise.resolve()
  let sends: Promise<void>[] = []

  async function create(): Promise<string> {
    const { UploadId, $metadata } = await store.ask((client, options) =>
      client.send(
        // Without the algorithm, Amazon's store refuses the checksums that come with the parts.
        new CreateMultipartUploadCommand({
          ...object,
          Metadata: target.metadata,
          ChecksumAlgorithm: 'CRC32',
        }),
        options,
      ),
    )
    if (UploadId === undefined) throw new Error('The S3 store began an upload without an id.')
    running.add(UploadId)
    id = UploadId
    if ($metadata.attempts !== 1) await abortOthers()
    return UploadId
  }

  /** What attempts to create began whose answers were lost. */
  async function abortOthers(): Promise<void> {
    const { Uploads = [] } = await store.askWithin(
      store.limits.settleMilliseconds,
      (client, options) =>
        client.send(
          new ListMultipartUploadsCommand({ Bucket: object.Bucket, Prefix: object.Key }),
          options,
        ),
    )
    for (const { Key, UploadId } of Uploads) {
      if (Key !== object.Key || UploadId === undefined || UploadId === id) continue
      await abortUpload(store, object, UploadId)
    }
  }

  async function send(part: Part): Promise<void> {
    const PartNumber = parts.push({})
    const Body = part.content()
    const ChecksumCRC32 = checksumOf(Body)
    try {
      creating ??= create()
      const request = { ...object, UploadId: await creating, PartNumber, Body, ChecksumCRC32 }
      const answer = await store.askToSend(
        (client, options) => client.send(new UploadPartCommand(request), options),
        leaving.signal,
      )
      // Not every store keeps it.
      const kept = answer.ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }
      parts[PartNumber - 1] = { PartNumber, ETag: answer.ETag, ...kept }
    } finally {
      part.end()
    }
  }

  return {
    /**
     * Sends a part, which ends then, and resolves once the one before it has arrived: the next is
     * filled while one is sent, and two are sent at once where the source is faster than the store.
     */
    async add(part: Part): Promise<void> {
      const before = sending
      sending = send(part)
      sends = [before, sending]
      // Who adds the next part learns of it.
      sending.catch(() => {})
      await before
    },

    async complete(bytes: number): Promise<void> {
      await sending
      const request = {
        ...object,
        ...target.condition,
        UploadId: id,
        MultipartUpload: { Parts: parts },
      }
      return target.make(bytes, () =>
        store.askToSend((client, options) =>
          client.send(new CompleteMultipartUploadCommand(request), options),
        ),
      )
    },

    /** Removes what is there of it, as far as the store can be asked; `tidy` does the rest. */
    async abort(): Promise<void> {
      leaving.abort()
      await Promise.allSettled(sends)
      if (store.isSilent) return
      try {
        if (id !== undefined) await abortUpload(store, object, id)
        else await abortOthers()
      } catch {
        // Why the write failed is what counts.
      }
    },

    end(): void {
      if (id !== undefined) running.delete(id)
    },
  }
}

/** Aborts an upload, again if a part that was still on its way landed afterwards. */
export async function abortUpload(
  store: S3Store,
  object: { Bucket: string; Key: string },
  id: string,
): Promise<void> {
  const upload = { ...object, UploadId: id }
  const milliseconds = store.limits.settleMilliseconds
  for (let abort = 0; abort < abortsAtMost; abort += 1) {
    try {
      await store.askWithin(milliseconds, (client, options) =>
        client.send(new AbortMultipartUploadCommand(upload), options),
      )
      const { Parts = [] } = await store.askWithin(milliseconds, (client, options) =>
        client.send(new ListPartsCommand({ ...upload, MaxParts: 1 }), options),
      )
      if (Parts.length === 0) return
    } catch (error) {
      if (isNamed(error, 'NoSuchUpload') || isStatus(error, 404)) return
      throw error
    }
  }
}

/**
 * As the store holds it against what it gets, and refuses what changed on its way. Computed here, once,
 * as the answer's is not to be trusted where it goes into the list of parts.
 */
function checksumOf(content: Uint8Array): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(content))
  return bytes.toString('base64')
}

function tooSlow(): BlobError {
  return new BlobError('too-slow', 'The content came too slowly while others waited.')
}

function exists(id: string, cause?: unknown): BlobError {
  return new BlobError('exists', `Blob ${id} exists.`, { cause })
}
