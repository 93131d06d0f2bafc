/** Reads ranges of objects, on from where a connection broke. */

import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import type { ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { gatherPieces } from './gather-pieces.ts'
import { isAbsent, isNamed, isRefused, isStatus, type S3Store } from './s3-store.ts'

/** Answers in a row that broke before they gave a byte, after which a read fails. */
const brokenAtMost = 4
const firstPauseMilliseconds = 50

/** As a `BlobDriver` does. */
export async function* readObject(
  store: S3Store,
  id: string,
  { start, end }: ByteRange,
): AsyncGenerator<Uint8Array> {
  if (start === end) {
    await requireObject(store, id)
    return
  }
  let at = start
  let etag: string | undefined
  let broken = 0
  while (at < end) {
    const answer = await get(store, id, { range: { start: at, end }, etag })
    // What follows is of the same object, or it is refused.
    etag ??= answer.etag
    const from = at
    let failure: unknown
    const pieces = gatherPieces(answer.body, at)
    try {
      for (;;) {
        const more = pieces.next().catch((error: unknown) => {
          failure = error
        })
        const next = await store.await(more)
        if (next === undefined || next.done === true) break
        at += next.value.length
        if (at > end) throw new Error(`The S3 store sent more than was asked for of blob ${id}.`)
        yield next.value
      }
    } finally {
      // Of a generator that waits, it would wait too.
      answer.body.destroy()
      await pieces.return(undefined)
    }
    if (at === end) return
    broken = at > from ? 0 : broken + 1
    if (broken === brokenAtMost) {
      throw new Error(`The answers of the S3 store break off at byte ${at}.`, { cause: failure })
    }
    await sleep(broken === 0 ? 0 : firstPauseMilliseconds * 2 ** broken)
  }
}

/** What stands beside the blobs and tells which store they are of; undefined if nothing does. */
export async function readMark(store: S3Store, prefix: string): Promise<string | undefined> {
  const request = new GetObjectCommand({ Bucket: store.bucket, Key: `${prefix}STORE` })
  try {
    const { Body } = await store.ask((client, options) => client.send(request, options))
    return await Body?.transformToString()
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

async function requireObject(store: S3Store, id: string): Promise<void> {
  const request = new HeadObjectCommand({ Bucket: store.bucket, Key: store.keyOf(id) })
  try {
    await store.ask((client, options) => client.send(request, options))
  } catch (error) {
    throw isAbsent(error) ? notFound(id, error) : error
  }
}

interface Answer {
  readonly body: Readable
  readonly etag: string | undefined
}

interface Wanted {
  readonly range: ByteRange
  readonly etag: string | undefined
}

async function get(store: S3Store, id: string, { range, etag }: Wanted): Promise<Answer> {
  const answer = await ask(store, id, { range, etag })
  const body = answer.Body
  if (!(body instanceof Readable)) throw new Error('The S3 store answered without a body.')
  const given = rangeOf(answer.ContentRange, answer.ContentLength)
  if (given?.start === range.start && given.end === range.end) return { body, etag: answer.ETag }
  body.on('error', () => {})
  body.destroy()
  if (given?.start === range.start && given.end < range.end) throw tooShort(id, range)
  throw new Error(`The S3 store did not answer with the range asked for of blob ${id}.`)
}

async function ask(store: S3Store, id: string, { range, etag }: Wanted) {
  const request = new GetObjectCommand({
    Bucket: store.bucket,
    Key: store.keyOf(id),
    Range: `bytes=${range.start}-${range.end - 1}`,
    ...(etag === undefined ? {} : { IfMatch: etag }),
  })
  try {
    return await store.askToRead((client, options) => client.send(request, options))
  } catch (error) {
    if (isAbsent(error)) throw notFound(id, error)
    if (isStatus(error, 416) || isNamed(error, 'InvalidRange')) throw tooShort(id, range, error)
    if (isRefused(error)) {
      throw new BlobError('damaged', `Blob ${id} was replaced while it was read.`, { cause: error })
    }
    throw error
  }
}

/** @param header as in `bytes 0-9/10`; a whole object comes without one. */
function rangeOf(header: string | undefined, length: number | undefined): ByteRange | undefined {
  if (header === undefined) return length === undefined ? undefined : { start: 0, end: length }
  const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(header) ?? []
  return first === undefined ? undefined : { start: Number(first), end: Number(last) + 1 }
}

function notFound(id: string, cause: unknown): BlobError {
  return new BlobError('not-found', `Blob ${id} does not exist.`, { cause })
}

function tooShort(id: string, { end }: ByteRange, cause?: unknown): BlobError {
  return new BlobError('damaged', `Blob ${id} ends before byte ${end}.`, { cause })
}
