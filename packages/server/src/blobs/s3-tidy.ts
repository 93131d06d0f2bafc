/** Removes parts of uploads whose process ended before they became an object, or were given up. */

import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type MultipartUpload,
} from '@aws-sdk/client-s3'
import { isStatus, type S3Store } from './s3-store.ts'
import { abortUpload } from './s3-write.ts'

const minute = 60_000
/** Between two looks of one process: a list of uploads costs the store more than a read. */
const restMilliseconds = 10 * minute
/** By the store's own clock, or since it was first seen. No upload of a living process takes so long. */
const oldMilliseconds = 24 * 60 * minute

export interface S3TidyNeeds {
  readonly store: S3Store
  readonly prefix: string
  /** Those of this process are left alone, however old. */
  readonly running: ReadonlySet<string>
  now(): number
}

/** Gives what a driver does at times; most times it does nothing. */
export function createS3Tidy({ store, prefix, running, now }: S3TidyNeeds): () => Promise<void> {
  let lookedAt = Number.NEGATIVE_INFINITY
  /** When those of which the store does not tell were first seen, by our clock. */
  let seen = new Map<string, number>()

  function isOver({ UploadId = '', Initiated }: MultipartUpload, date: number): boolean {
    if (running.has(UploadId)) return false
    const age = Initiated === undefined ? now() - firstSeen(UploadId) : date - Initiated.getTime()
    return age > oldMilliseconds
  }

  function firstSeen(UploadId: string): number {
    return seen.get(UploadId) ?? now()
  }

  return async () => {
    if (now() - lookedAt < restMilliseconds) return
    lookedAt = now()
    let markers: Markers = {}
    const seenNow = new Map<string, number>()
    do {
      const page = await listUploads(store, `${prefix}blobs/`, markers)
      if (page === undefined) return
      for (const upload of page.uploads) {
        const { Key, UploadId } = upload
        if (Key === undefined || UploadId === undefined) continue
        seenNow.set(UploadId, firstSeen(UploadId))
        if (!isOver(upload, page.date)) continue
        await abortUpload(store, { Bucket: store.bucket, Key }, UploadId)
      }
      markers = page.next
    } while (markers.KeyMarker !== undefined)
    seen = seenNow
  }
}

interface Markers {
  readonly KeyMarker?: string
  readonly UploadIdMarker?: string
}

interface Page {
  readonly uploads: readonly MultipartUpload[]
  /** When the store answered, in milliseconds since 1970 by its own clock. */
  readonly date: number
  readonly next: Markers
}

/** Undefined where the store knows no such list. */
async function listUploads(
  store: S3Store,
  Prefix: string,
  markers: Markers,
): Promise<Page | undefined> {
  const command = new ListMultipartUploadsCommand({ Bucket: store.bucket, Prefix, ...markers })
  let date = Number.NaN
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      date = dateOf(result.response)
      return result
    },
    { step: 'deserialize', priority: 'low' },
  )
  try {
    const answer = await store.ask((client, options) => client.send(command, options))
    return { uploads: answer.Uploads ?? [], date, next: nextOf(answer) }
  } catch (error) {
    if (isStatus(error, 501)) return undefined
    throw error
  }
}

function nextOf(answer: ListMultipartUploadsCommandOutput): Markers {
  const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = answer
  if (IsTruncated !== true || NextKeyMarker === undefined) return {}
  return {
    KeyMarker: NextKeyMarker,
    ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
  }
}

/** Not a number where there is none, which is older than nothing. */
function dateOf(response: unknown): number {
  if (typeof response !== 'object' || response === null || !('headers' in response))
    return Number.NaN
  const { headers } = response
  if (typeof headers !== 'object' || headers === null || !('date' in headers)) return Number.NaN
  return Date.parse(String(headers.date))
}
