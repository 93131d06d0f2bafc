/** A bucket as its driver talks to it: the client of the SDK, its limits, and what its errors mean. */

import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { BlobError } from './blob-error.ts'

const MiB = 1024 * 1024

export interface S3Limits {
  /** To connect, for each attempt. */
  readonly connectMilliseconds: number
  /** Without a byte in either direction, after which an attempt has failed. */
  readonly idleMilliseconds: number
  /** Of all attempts of one request together, until its answer begins. */
  readonly requestMilliseconds: number
  /** For the clean-up after a failure, and to find out what became of a request. */
  readonly settleMilliseconds: number
  /** For the answer whether blobs can be written now. */
  readonly checkMilliseconds: number
  /** Of one request; the waits between them grow, with chance in them. */
  readonly attempts: number
  /** What all running uploads hold together. */
  readonly uploadMemoryBytes: number
}

export const s3Limits: S3Limits = Object.freeze({
  connectMilliseconds: 5000,
  idleMilliseconds: 30_000,
  requestMilliseconds: 50_000,
  settleMilliseconds: 10_000,
  checkMilliseconds: 3000,
  attempts: 5,
  uploadMemoryBytes: 128 * MiB,
})

/** Requests at the same time; the SDK's own limit of 50 lets uploads queue for a connection unseen. */
const connections = 512

export interface S3Place {
  readonly bucket: string
  /** Before every key, such as `coffer/`; may be empty. */
  readonly prefix: string
  /** As the environment or the profile says where undefined. */
  readonly region: string | undefined
  /** Undefined for Amazon's own. */
  readonly endpoint: string | undefined
  /** Whether the bucket stands in the path of a URL and not in its host name. */
  readonly pathStyle: boolean
  /** As the SDK finds them in the environment, profiles or the machine's role where undefined. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

export interface S3Store {
  readonly client: S3Client
  readonly bucket: string
  readonly limits: S3Limits
  keyOf(id: string): string
  /**
   * Makes a request, which has so long until its answer begins.
   *
   * @throws BlobError `full` where the store says so, else what the SDK throws.
   */
  ask<Answer>(request: (client: S3Client, options: Asked) => Promise<Answer>): Promise<Answer>
  askWithin<Answer>(
    milliseconds: number,
    request: (client: S3Client, options: Asked) => Promise<Answer>,
  ): Promise<Answer>
}

interface Asked {
  readonly abortSignal: AbortSignal
}

export function createS3Store(place: S3Place, limits: S3Limits): S3Store {
  const client = createClient(place, limits)

  const askWithin: S3Store['askWithin'] = async (milliseconds, request) => {
    const controller = new AbortController()
    // Not `AbortSignal.timeout`, which would also cut an answer that is still being read.
    const timer = setTimeout(() => controller.abort(), milliseconds)
    try {
      return await request(client, { abortSignal: controller.signal })
    } catch (error) {
      if (isFull(error)) {
        throw new BlobError('full', `The bucket ${place.bucket} is full.`, { cause: error })
      }
      if (!controller.signal.aborted) throw error
      const message = `The S3 store did not answer within ${milliseconds} ms.`
      throw Object.assign(new Error(message, { cause: error }), { name: 'TimeoutError' })
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    client,
    bucket: place.bucket,
    limits,
    keyOf: (id) => `${place.prefix}blobs/${id}`,
    ask: (request) => askWithin(limits.requestMilliseconds, request),
    askWithin,
  }
}

function createClient(place: S3Place, limits: S3Limits): S3Client {
  const { endpoint, credentials, pathStyle } = place
  // Other stores than Amazon's have no regions, but a signature names one.
  const region = place.region ?? (endpoint === undefined ? undefined : 'us-east-1')
  const agent = { keepAlive: true, maxSockets: connections }
  return new S3Client({
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
    // A range has no checksum to be held against; the blob store has sums of its own.
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
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
