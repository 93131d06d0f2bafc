/**
 * Blobs as objects of a bucket of S3 or a store that speaks as S3 does, one object each. A blob is
 * there when the store has said so, and never replaced.
 *
 * The SDK is imported here and by the other `s3-*.ts` alone, so that a server with a disk does not
 * load it.
 */

import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { BlobDriver } from './blob-driver.ts'
import { probeBucket } from './s3-probe.ts'
import { readMark, readObject } from './s3-read.ts'
import { createS3Store, isAbsent, type S3Limits, type S3Place, s3Limits } from './s3-store.ts'
import { createS3Tidy } from './s3-tidy.ts'
import { createS3Writer } from './s3-write.ts'
import { createUploadMemory, type UploadMemory } from './upload-memory.ts'

/** The longest that a link works, whatever is asked for. */
const linkSeconds = 300

export interface S3Options extends S3Place {
  /** Is told, in a sentence, what the operator should know of the bucket. */
  warn(message: string): void
  /** Others than `s3Limits`. */
  readonly limits?: Partial<S3Limits>
  /** Milliseconds since whenever; those of this process if left out. */
  now?(): number
  /** Of which to see how much is held. */
  readonly memory?: UploadMemory
}

/** @throws Error with a sentence that names the bucket and what to do, where it cannot be used. */
export async function openS3Driver(options: S3Options): Promise<BlobDriver> {
  const { bucket, prefix, warn, now = () => performance.now() } = options
  const limits = { ...s3Limits, ...options.limits }
  const { memory = createUploadMemory(limits.uploadMemoryBytes) } = options
  const store = createS3Store(options, limits)
  const { isConditional, isVersioned } = await probeBucket(store, options).catch(
    (error: unknown) => {
      store.destroy()
      throw error
    },
  )
  if (!isConditional) {
    warn(
      `The store of the bucket ${bucket} does not refuse to replace objects (If-None-Match): ` +
        'only the randomness of ids keeps two servers from writing the same blob.',
    )
  }
  if (isVersioned) {
    warn(
      `The bucket ${bucket} keeps versions: blobs are deleted version by version, for which the ` +
        'credentials need s3:DeleteObjectVersion. Otherwise deleted content stays.',
    )
  }
  const writer = createS3Writer({ store, memory, isConditional })
  const tidy = createS3Tidy({ store, prefix, running: writer.running, now })
  const nameOf = (key: string) => ({ Bucket: bucket, Key: key })
  const mark = nameOf(`${prefix}STORE`)
  const checked = nameOf(`${prefix}CHECK`)

  /** The only version that an object has, in a bucket that keeps versions. */
  async function versionOf(object: { Bucket: string; Key: string }): Promise<string | undefined> {
    if (!isVersioned) return undefined
    try {
      const head = new HeadObjectCommand(object)
      return (await store.ask((client, asked) => client.send(head, asked))).VersionId
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  let checkedAt = Number.NEGATIVE_INFINITY
  let checking: Promise<void> | undefined

  /** By writing an object: nothing less tells that a store is full, or that credentials are reading ones. */
  async function checkNow(): Promise<void> {
    const startedAt = now()
    const milliseconds = limits.checkMilliseconds
    const { VersionId } = await store.askWithin(milliseconds, (client, asked) =>
      client.send(new PutObjectCommand({ ...checked, Body: Buffer.from('check') }), asked),
    )
    if (isVersioned && VersionId !== undefined) {
      const remove = new DeleteObjectCommand({ ...checked, VersionId })
      await store.askWithin(milliseconds, (client, asked) => client.send(remove, asked))
    }
    checkedAt = startedAt
  }

  return {
    write: (id, source) => writer.write(id, source),
    read: (id, range) => readObject(store, id, range),

    async delete(id) {
      const object = nameOf(store.keyOf(id))
      const VersionId = await versionOf(object)
      const request = { ...object, ...(VersionId === undefined ? {} : { VersionId }) }
      await store.ask((client, asked) => client.send(new DeleteObjectCommand(request), asked))
    },

    async *list(idPrefix) {
      let ContinuationToken: string | undefined
      do {
        const page = new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: store.keyOf(idPrefix),
          ...(ContinuationToken === undefined ? {} : { ContinuationToken }),
        })
        const answer = await store.ask((client, asked) => client.send(page, asked))
        for (const { Key } of answer.Contents ?? []) {
          if (Key !== undefined) yield Key.slice(store.keyOf('').length)
        }
        ContinuationToken = answer.IsTruncated === true ? answer.NextContinuationToken : undefined
      } while (ContinuationToken !== undefined)
    },

    readMark: () => readMark(store, prefix),

    async writeMark(text) {
      const request = new PutObjectCommand({ ...mark, Body: Buffer.from(text) })
      await store.ask((client, asked) => client.send(request, asked))
    },

    async check() {
      if (!store.isSilent && now() - checkedAt < limits.checkedMilliseconds) return
      checking ??= checkNow().finally(() => {
        checking = undefined
      })
      await checking
    },

    tidy,

    link: (id, { contentDisposition, contentType, seconds }) =>
      getSignedUrl(
        store.reading,
        new GetObjectCommand({
          ...nameOf(store.keyOf(id)),
          ResponseContentDisposition: contentDisposition,
          ResponseContentType: contentType,
        }),
        { expiresIn: Math.min(seconds, linkSeconds) },
      ),

    async close() {
      store.destroy()
    },
  }
}
