/** Uploads content in parts, some at a time, and goes on where an earlier call ended. */

import type { UploadPurpose } from '@coffer/contract'
import type { RequestOptions } from './api-client.ts'
import { NotFoundException, UnexpectedAnswerException } from './api-exception.ts'
import type { Open, OpenAIFile, Upload } from './models.ts'
import { toUploadSource, type Uploadable, type UploadSource } from './upload-source.ts'
import type { UploadsApi } from './uploads-api.ts'

const MiB = 1024 * 1024

/** What a later call needs to go on; plain data, to be kept as JSON. */
export interface LargeUploadState {
  readonly uploadId: string
  readonly bytes: number
  readonly partBytes: number
  /** The ids of the parts, in the order of their bytes; null for those that have not arrived. */
  readonly partIds: readonly (string | null)[]
}

export interface LargeUploadOptions extends RequestOptions {
  /** The file's name; by default the content's own, or `file`. */
  readonly filename?: string | undefined
  readonly mimeType?: string | undefined
  /** Seconds from its creation until the file is gone, from 3,600 to 2,592,000. */
  readonly expiresAfterSeconds?: number | undefined
  /** The size of a part, 16 MiB by default; the server takes up to 64 MiB. */
  readonly partBytes?: number | undefined
  /** How many parts are sent at once, 4 by default. */
  readonly parallel?: number | undefined
  /** The MD5 of the whole content in hexadecimal, which the server holds against what came. */
  readonly md5?: string | undefined
  /** Called as bytes are sent: how many so far, with those of earlier calls, and of how many. */
  readonly onProgress?: ((sent: number, bytes: number) => void) | undefined
  /**
   * Called with what a later call needs to go on, when the Upload is created and after each part;
   * the next part waits for it. Without it, an Upload that fails is cancelled.
   */
  readonly onState?: ((state: LargeUploadState) => void | Promise<void>) | undefined
  /**
   * What `onState` was called with last, for the same content. Where the server does not know that
   * Upload any more, or it has expired, another begins.
   */
  readonly resume?: LargeUploadState | undefined
}

/**
 * @param file what can be read in parts: a `Blob` or `File`, bytes, or a path (`fileFromPath`).
 * @throws TypeError of content that can be read only once, and the ApiExceptions.
 */
export async function uploadLargeFile(
  uploads: UploadsApi,
  file: Uploadable,
  purpose: Open<UploadPurpose>,
  options: LargeUploadOptions = {},
): Promise<OpenAIFile> {
  const source = toUploadSource(file)
  const { bytes, slice } = source
  if (bytes === undefined || slice === undefined) {
    throw new TypeError('Content that is sent in parts must have a size, and be readable in parts.')
  }
  const content = { source, bytes, slice: slice.bind(source) }
  const begun = await findBegun(uploads, content.bytes, options)
  if (begun !== undefined && 'file' in begun) return begun.file
  const state = begun ?? (await begin(uploads, content, purpose, options))
  try {
    const partIds = await sendParts(uploads, content, state, options)
    const { md5, signal } = options
    return fileOf(await uploads.completeUpload(state.uploadId, partIds, { md5, signal }))
  } catch (error) {
    // Nobody could go on with it, and until it expires its bytes would count as used.
    if (options.onState === undefined) await giveUp(uploads, state.uploadId)
    throw error
  }
}

interface Content {
  readonly source: UploadSource
  readonly bytes: number
  slice(start: number, end: number): UploadSource
}

/** What has come of this content, as far as the server still has it. */
async function findBegun(
  uploads: UploadsApi,
  bytes: number,
  { resume, signal }: LargeUploadOptions,
): Promise<LargeUploadState | { file: OpenAIFile } | undefined> {
  if (resume === undefined) return undefined
  if (resume.bytes !== bytes) {
    throw new TypeError(`The content has ${bytes} bytes, and had ${resume.bytes}.`)
  }
  try {
    const upload = await uploads.retrieveUpload(resume.uploadId, { signal })
    // The answer to its completion may have been lost; its file may have been deleted since.
    if (upload.status === 'completed' && upload.file) return { file: upload.file }
    return upload.status === 'pending' ? resume : undefined
  } catch (error) {
    if (error instanceof NotFoundException) return undefined
    throw error
  }
}

async function begin(
  uploads: UploadsApi,
  { source, bytes }: Content,
  purpose: Open<UploadPurpose>,
  options: LargeUploadOptions,
): Promise<LargeUploadState> {
  const { mimeType, expiresAfterSeconds, partBytes = 16 * MiB, signal, onState } = options
  const filename = options.filename ?? source.name ?? 'file'
  const upload = await uploads.createUpload(
    { filename, purpose, bytes, mimeType, expiresAfterSeconds },
    { signal },
  )
  const parts = Math.ceil(bytes / partBytes)
  const partIds = Array.from({ length: parts }, () => null)
  const state = { uploadId: upload.id, bytes, partBytes, partIds }
  await onState?.(state)
  return state
}

/** Sends what has not arrived. @returns the ids of all parts. */
async function sendParts(
  uploads: UploadsApi,
  content: Content,
  state: LargeUploadState,
  { parallel = 4, signal, onProgress, onState }: LargeUploadOptions,
): Promise<string[]> {
  const { uploadId, bytes, partBytes } = state
  const partIds = [...state.partIds]
  const ends = partIds.map((_, place) => Math.min(bytes, (place + 1) * partBytes))
  const sent = partIds.map((id, place) =>
    id === null ? 0 : Number(ends[place]) - place * partBytes,
  )
  // One failure ends the others, whose parts nobody waits for.
  const failure = new AbortController()
  const both = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal])
  const missing = partIds.flatMap((id, place) => (id === null ? [place] : [])).values()

  async function sendSome(): Promise<void> {
    for (const place of missing) {
      const part = content.slice(place * partBytes, Number(ends[place]))
      const { id } = await uploads.addUploadPart(uploadId, part, {
        signal: both,
        onProgress(now) {
          sent[place] = now
          onProgress?.(
            sent.reduce((sum, one) => sum + one, 0),
            bytes,
          )
        },
      })
      partIds[place] = id
      await onState?.({ ...state, partIds: [...partIds] })
    }
  }

  const senders = Array.from({ length: parallel }, async () => {
    try {
      await sendSome()
    } catch (error) {
      failure.abort(error)
    }
  })
  await Promise.all(senders)
  signal?.throwIfAborted()
  failure.signal.throwIfAborted()
  return partIds.filter((id) => id !== null)
}

function fileOf({ file }: Upload): OpenAIFile {
  if (file) return file
  throw new UnexpectedAnswerException('The server completed the Upload and named no file.')
}

/** The failure that leads here is the one to be told. */
async function giveUp(uploads: UploadsApi, uploadId: string): Promise<void> {
  await uploads.cancelUpload(uploadId).catch(() => undefined)
}
