/** Tries a bucket before anything is kept in it, and says in a sentence what is wrong with it. */

import { randomUUID } from 'node:crypto'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandOutput,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { isNamed, isRefused, isStatus, type S3Place, type S3Store } from './s3-store.ts'
import { abortUpload } from './s3-write.ts'

export interface S3Abilities {
  /** Whether no object is replaced that must not be, neither at once nor by parts. */
  readonly isConditional: boolean
  /** Whether the bucket keeps what is deleted as an older version. */
  readonly isVersioned: boolean
}

/** @throws Error that names the bucket and what to do. */
export async function probeBucket(store: S3Store, place: S3Place): Promise<S3Abilities> {
  try {
    return await probe(store, `${place.prefix}PROBE-${randomUUID()}`)
  } catch (error) {
    throw new Error(sentenceOf(error, place), { cause: error })
  }
}

async function probe(store: S3Store, key: string): Promise<S3Abilities> {
  const object = { Bucket: store.bucket, Key: key }
  const isVersioned = await keepsVersions(store)
  const put = await store.ask((client, options) =>
    client.send(new PutObjectCommand({ ...object, Body: Buffer.from('probe') }), options),
  )
  try {
    const list = new ListObjectsV2Command({ Bucket: store.bucket, Prefix: key })
    const { Contents = [] } = await store.ask((client, options) => client.send(list, options))
    if (Contents[0]?.Key !== key) throw new Error('What was written is not listed.')
    // One after the other: what the first replaced, the second must find.
    const refusesPut = await isRefusing(() => putAgain(store, object))
    const refusesParts = await isRefusing(() => putAgainInParts(store, object))
    return { isConditional: refusesPut && refusesParts, isVersioned }
  } finally {
    await removeProbe(store, object, put)
  }
}

type ObjectName = { readonly Bucket: string; readonly Key: string }

function putAgain(store: S3Store, object: ObjectName): Promise<unknown> {
  const request = new PutObjectCommand({ ...object, Body: Buffer.from('probe'), IfNoneMatch: '*' })
  return store.ask((client, options) => client.send(request, options))
}

async function putAgainInParts(store: S3Store, object: ObjectName): Promise<unknown> {
  const { UploadId = '' } = await store.ask((client, options) =>
    client.send(
      new CreateMultipartUploadCommand({ ...object, ChecksumAlgorithm: 'CRC32' }),
      options,
    ),
  )
  const upload = { ...object, UploadId }
  try {
    const part = new UploadPartCommand({ ...upload, PartNumber: 1, Body: Buffer.from('probe') })
    const { ETag, ChecksumCRC32 } = await store.ask((client, options) => client.send(part, options))
    const Parts = [
      { PartNumber: 1, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) },
    ]
    const complete = { ...upload, MultipartUpload: { Parts }, IfNoneMatch: '*' }
    return await store.ask((client, options) =>
      client.send(new CompleteMultipartUploadCommand(complete), options),
    )
  } finally {
    await abortUpload(store, object, UploadId)
  }
}

/** Whether a request that would replace an object is refused; some stores do not know conditions. */
async function isRefusing(request: () => Promise<unknown>): Promise<boolean> {
  try {
    await request()
    return false
  } catch (error) {
    if (isRefused(error)) return true
    if (isStatus(error, 501) || isNamed(error, 'NotImplemented')) return false
    throw error
  }
}

/** Where that may not be asked, or the store knows no versions, there are none as far as we see. */
async function keepsVersions(store: S3Store): Promise<boolean> {
  try {
    const request = new GetBucketVersioningCommand({ Bucket: store.bucket })
    const { Status } = await store.ask((client, options) => client.send(request, options))
    return Status !== undefined
  } catch (error) {
    if (isStatus(error, 403) || isStatus(error, 501) || isStatus(error, 405)) return false
    throw error
  }
}

async function removeProbe(
  store: S3Store,
  object: ObjectName,
  { VersionId }: PutObjectCommandOutput,
): Promise<void> {
  const request = { ...object, ...(VersionId === undefined ? {} : { VersionId }) }
  await store.ask((client, options) => client.send(new DeleteObjectCommand(request), options))
}

const unreachable = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
]

/** What is wrong with a bucket, and what to do. */
export function sentenceOf(error: unknown, { bucket, endpoint, prefix }: S3Place): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (unreachable.includes(code) || isNamed(error, 'TimeoutError')) {
    const where = endpoint ?? "Amazon's S3"
    const why = code === '' ? 'it does not answer' : code
    return `${where} with the bucket ${bucket} cannot be reached (${why}): check the endpoint and the network.`
  }
  if (isNamed(error, 'CredentialsProviderError')) {
    return `There are no credentials for the bucket ${bucket}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role.`
  }
  if (error instanceof Error && error.message.startsWith('Region is missing')) {
    return `The region of the bucket ${bucket} is not known: name it in the URL, or set AWS_REGION.`
  }
  if (isNamed(error, 'NoSuchBucket')) {
    return `The bucket ${bucket} does not exist: make it, or name another.`
  }
  if (isStatus(error, 301) || isStatus(error, 307) || isNamed(error, ...regionErrors)) {
    return `The bucket ${bucket} is in another region${regionIn(error)}: name that in the URL.`
  }
  if (isNamed(error, ...credentialErrors)) {
    return `The credentials for the bucket ${bucket} are not accepted: check the access key and its secret.`
  }
  if (isStatus(error, 403)) {
    return (
      `Access to the bucket ${bucket} is denied: allow s3:ListBucket, s3:ListBucketMultipartUploads ` +
      `and, for objects under ${prefix}*, s3:GetObject, s3:PutObject, s3:DeleteObject, ` +
      's3:AbortMultipartUpload and s3:ListMultipartUploadParts.'
    )
  }
  const said = error instanceof Error ? error.message : String(error)
  return `The bucket ${bucket} cannot be used: ${said}`
}

const credentialErrors = [
  'ExpiredToken',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  // VersityGW, of an access key that it does not know.
  'XAdminUserNotFound',
]

const regionErrors = [
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
  'PermanentRedirect',
]

/** As some stores tell it, in front of which a space stands. */
function regionIn(error: unknown): string {
  if (!(error instanceof S3ServiceException)) return ''
  const region =
    ('Region' in error ? error.Region : undefined) ??
    error.$response?.headers['x-amz-bucket-region']
  return typeof region === 'string' ? ` (${region})` : ''
}
