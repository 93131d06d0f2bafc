/** A bucket as its driver talks to it: the client of the SDK, its limits, and what its errors mean. */

import { HeadBucketCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { BlobError } from './blob-error.ts'
import { createWatch } from './s3-watch.ts'

const MiB = 1024 * 1024

export interface S3Limits {
  /** To connect, for each attempt. */
  readonly connectMilliseconds: number
  /** Without a byte in either direction, after which an attempt has failed, though the store is there. */
  readonly idleMilliseconds: number
  /** Of a wait, after which the store is asked whether it is there at all. */
  readonly silentMilliseconds: number
  /** For that answer, without which all that waits has failed. */
  readonly aliveMilliseconds: number
  /** Of all attempts of one request together, until its answer begins. */
  readonly requestMilliseconds: number
  /** The same of one that brings content, or makes an object of it: a line may be slow, and the object large. */
  readonly sendMilliseconds: number
  /** For the clean-up after a failure, and to find out what became of a request. */
  readonly settleMilliseconds: number
  /** For the answer whether blobs can be written now. */
  readonly checkMilliseconds: number
  /** For which that answer holds: each takes a request that costs money, and many may ask. */
  readonly checkedMilliseconds: number
  /** Of one request; the waits between them grow, with chance in them. */
  readonly attempts: number
  /** What all running uploads hold together. */
  readonly uploadMemoryBytes: number
}

export const s3Limits: S3Limits = Object.freeze({
  connectMilliseconds: 5000,
  idleMilliseconds: 30_000,
  silentMilliseconds: 5000,
  aliveMilliseconds: 4000,
  requestMilliseconds: 50_000,
  sendMilliseconds: 240_000,
  settleMilliseconds: 10_000,
  checkMilliseconds: 3000,
  checkedMilliseconds: 5000,
  attempts: 5,
  uploadMemoryBytes: 128 * MiB,
})

/** Requests at the same time; the SDK's own limit of 50 lets uploads queue for a connection unseen. */
const connections = 512

/** A read keeps its connection for as long as its client takes. */
const readConnections = 4096

export interface S3Place {
  readonly bucket: string
  /** Before every key, such as `coffer/`; may be empty. */
  readonly prefix: string
  /**
   * Where undefined: as the endpoint's name or else `us-east-1`, which stores without regions take;
   * of Amazon's own, as the environment or the profile says.
   */
  readonly region: string | undefined
  /** Undefined for Amazon's own. */
  readonly endpoint: string | undefined
  /** Whether the bucket stands in the path of a URL and not in its host name. */
  readonly pathStyle: boolean
  /** As the SDK finds them in the environment, profiles or the machine's role where undefined. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

/** Not even a small question was answered. What became of a request is not known, nor to be found out. */
export class StoreSilent extends Error {
  override readonly name = 'TimeoutError'
}

export interface S3Store {
  /** For all but the reads of blobs, which never keep a connection from the others. */
  readonly client: S3Client
  /** For the reads of blobs, and links to them. */
  readonly reading: S3Client
  readonly bucket: string
  readonly limits: S3Limits
  /** Whether the store is known to answer nothing. */
  readonly isSilent: boolean
  keyOf(id: string): string
  /**
   * Makes a request, which has so long until its answer begins.
   *
   * @throws BlobError `full` where the store says so, StoreSilent, else what the SDK throws.
   */
  ask<Answer>(request: Request<Answer>, signal?: AbortSignal): Promise<Answer>
  askWithin<Answer>(
    milliseconds: number,
    request: Request<Answer>,
    signal?: AbortSignal,
  ): Promise<Answer>
  /** As `ask`, for what brings content. */
  askToSend<Answer>(request: Request<Answer>, signal?: AbortSignal): Promise<Answer>
  /** As `ask`, for content. */
  askToRead<Answer>(request: Request<Answer>): Promise<Answer>
  /**
   * Waits for more of an answer that has begun.
   *
   * @throws StoreSilent, though what was waited for goes on.
   */
  await<More>(more: Promise<More>): Promise<More>
  /** Ends all connections. */
  destroy(): void
}

type Request<Answer> = (client: S3Client, options: Asked) => Promise<Answer>

interface Asked {
  readonly abortSignal: AbortSignal
}

export function createS3Store(place: S3Place, limits: S3Limits): S3Store {
  const client = createClient(place, limits)
  // Otherwise a link would sign a checksum of no content, for which SeaweedFS 3 refuses it.
  const reading = createClient(place, limits, { isToRead: true })
  const watch = createWatch(limits, (signal) => askWhetherThere(place, limits, signal))

  const askWithin: S3Store['askWithin'] = async (milliseconds, request, signal) => {
    const controller = new AbortController()
    // Not `AbortSignal.timeout`, which would also cut an answer that is still being read.
    const timer = setTimeout(() => controller.abort(), milliseconds)
    let isSilent = false
    using _ = watch.begin(() => {
      isSilent = true
      controller.abort()
    })
    const abortSignal =
      signal === undefined ? controller.signal : AbortSignal.any([controller.signal, signal])
    try {
      const answer = await request(client, { abortSignal })
      watch.heard()
      return answer
    } catch (error) {
      if (error instanceof S3ServiceException) watch.heard()
      if (isFull(error)) {
        throw new BlobError('full', `The bucket ${place.bucket} is full.`, { cause: error })
      }
      if (isSilent) throw silent(error)
      if (!controller.signal.aborted) throw error
      const message = `The S3 store did not answer within ${milliseconds} ms.`
      throw Object.assign(new Error(message, { cause: error }), { name: 'TimeoutError' })
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    client,
    reading,
    bucket: place.bucket,
    limits,
    get isSilent() {
      return watch.isSilent
    },
    keyOf: (id) => `${place.prefix}blobs/${id}`,
    ask: (request, signal) => askWithin(limits.requestMilliseconds, request, signal),
    askWithin,
    askToSend: (request, signal) => askWithin(limits.sendMilliseconds, request, signal),
    askToRead: (request) =>
      askWithin(limits.requestMilliseconds, (_, options) => request(reading, options)),
    async await(more) {
      const { promise, reject } = Promise.withResolvers<never>()
      using _ = watch.begin(() => reject(silent()))
      return await Promise.race([more, promise])
    },
    destroy() {
      client.destroy()
      reading.destroy()
    },
  }
}

function silent(cause?: unknown): StoreSilent {
  return new StoreSilent('The S3 store does not answer.', { cause })
}

/** By a connection of its own: one of those that are kept may be broken though the store is there. */
async function askWhetherThere(
  place: S3Place,
  limits: S3Limits,
  abortSignal: AbortSignal,
): Promise<void> {
  const client = createClient(place, { ...limits, attempts: 1 })
  try {
    await client.send(new HeadBucketCommand({ Bucket: place.bucket }), { abortSignal })
  } catch (error) {
    // Whatever it is that was answered.
    if (!(error instanceof S3ServiceException)) throw error
  } finally {
    client.destroy()
  }
}

function createClient(place: S3Place, limits: S3Limits, { isToRead = false } = {}): S3Client {
  const { endpoint, credentials, pathStyle } = place
  const region = place.region ?? (endpoint === undefined ? undefined : regionOf(endpoint))
  const agent = { keepAlive: true, maxSockets: isToRead ? readConnections : connections }
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: pathStyle,
    maxAttempts: limits.attempts,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: limits.connectMilliseconds,
      socketTimeout: limits.idleMilliseconds,
      httpAgent: agent,
      httpsAgent: agent,
    },
    // The SDK would open a connection of its own for each request that asks before it sends.
    expectContinueHeader: false,
    ...(isToRead ? { requestChecksumCalculation: 'WHEN_REQUIRED' } : {}),
    // A range has no checksum to be held against; the blob store has sums of its own.
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  client.middlewareStack.add(
    (next) => (args) => {
      leaveBodyUnsigned(args.request)
      return next(args)
    },
    { step: 'build' },
  )
  return client
}

/** As in `https://s3.eu-west-1.example.com`; a signature names one also where there are none. */
function regionOf(endpoint: string): string {
  const { hostname } = new URL(endpoint)
  return /^s3[.-]([a-z]+-[a-z0-9-]+)\.[^.]+\./.exec(hostname)?.[1] ?? 'us-east-1'
}

/**
 * Leaves the hash of a body out of the signature where TLS protects the body already: the checksum,
 * which is signed, tells what changed behind it. Over plain HTTP that hash is all that binds a body to
 * who sent it, and stays, though it costs up to a quarter of a large upload's time (measured on
 * loopback, half of it in the store).
 */
function leaveBodyUnsigned(request: unknown): void {
  if (typeof request !== 'object' || request === null) return
  if (!('protocol' in request) || request.protocol !== 'https:' || !('headers' in request)) return
  const { headers } = request
  if (typeof headers !== 'object' || headers === null || !('x-amz-checksum-crc32' in headers))
    return
  Object.assign(headers, { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' })
}

export function isStatus(error: unknown, status: number): boolean {
  return error instanceof S3ServiceException && error.$metadata.httpStatusCode === status
}

export function isNamed(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.includes(error.name)
}

/** Whether an object does not exist, rather than its bucket. */
export function isAbsent(error: unknown): boolean {
  return isNamed(error, 'NoSuchKey', 'NotFound')
}

/** Whether a condition does not hold: an object stands where none should, or somebody makes one now. */
export function isRefused(error: unknown): boolean {
  return isStatus(error, 412) || isNamed(error, 'PreconditionFailed', 'ConditionalRequestConflict')
}

/** As different stores say that there is no room. */
const fullNames = [
  'InsufficientStorage',
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
]

function isFull(error: unknown): boolean {
  return isStatus(error, 507) || isNamed(error, ...fullNames)
}
