/** Uploads content in parts, some at a time, and goes on where an earlier call ended. */

import type { UploadPurpose } from '@coffer/contract'
import type { RequestOptions } from './api-client.ts'
import { ApiException, UnexpectedAnswerException } from './api-exception.ts'
import type { Open, OpenAIFile, Upload } from './models.ts'
import { toBlob, toUploadSource, type Uploadable, type UploadSource } from './upload-source.ts'
import type { UploadsApi } from './uploads-api.ts'

const MiB = 1024 * 1024

const giveUpMilliseconds = 5000

/** What a later call needs to go on; plain data, to be kept as JSON. */
export interface LargeUploadState {
  readonly uploadId: string
  readonly bytes: number
  readonly partBytes: number
  /** In the order of their bytes; null for those that have not arrived. */
  readonly parts: readonly (ArrivedPart | null)[]
}

export interface ArrivedPart {
  readonly id: string
  /** In hexadecimal, as the server says; only Coffer does. */
  readonly sha256?: string | undefined
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
   * Called with what a later call needs to go on, when the Upload is created and after each part,
   * one call after the other. Without it, an Upload that fails is cancelled.
   */
  readonly onState?: ((state: LargeUploadState) => void | Promise<void>) | undefined
  /**
   * What `onState` was called with last. What has arrived is held against the content: another
   * Upload begins where it differs, where the server does not know the Upload any more, and where
   * it cannot tell what has arrived.
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
  requireCount('partBytes', options.partBytes)
  requireCount('parallel', options.parallel)
  const content = { source, bytes, slice: slice.bind(source) }
  const begun = await findBegun(uploads, content, options)
  if (begun !== undefined && 'file' in begun) return begun.file
  const state = begun ?? (await begin(uploads, content, purpose, options))
  try {
    // Parts may have been found whose answers were lost.
    if (begun !== undefined) await options.onState?.(state)
    const partIds = await sendParts(uploads, content, state, options)
    const { md5, signal } = options
    return fileOf(await uploads.completeUpload(state.uploadId, partIds, { md5, signal }))
  } catch (error) {
    // Nobody could go on with it, and until it expires its bytes would count as used.
    if (options.onState === undefined) await giveUp(uploads, state.uploadId)
    throw error
  }
}

function requireCount(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value > 0)) return
  throw new TypeError(`${name} must be a whole number from 1 on, and is ${value}.`)
}

interface Content {
  readonly source: UploadSource
  readonly bytes: number
  slice(start: number, end: number): UploadSource
}

/** What has come of this content, as far as the server still has it. */
async function findBegun(
  uploads: UploadsApi,
  content: Content,
  { resume, signal }: LargeUploadOptions,
): Promise<LargeUploadState | { file: OpenAIFile } | undefined> {
  if (resume === undefined) return undefined
  const { bytes } = content
  if (resume.bytes !== bytes) {
    throw new TypeError(`The content has ${bytes} bytes, and had ${resume.bytes}.`)
  }
  try {
    const { uploadId } = resume
    const { status, file } = await uploads.retrieveUpload(uploadId, { signal })
    switch (status) {
      case 'pending': {
        const isSame = await holdsAgainst(content, resume, signal)
        const parts = isSame ? await findLost(uploads, content, resume, signal) : undefined
        if (parts !== undefined) return { ...resume, parts }
        // It has no room for other parts, and its bytes would count as used until it expires.
        await giveUp(uploads, uploadId)
        return undefined
      }
      case 'completed': {
        // The answer to its completion may have been lost; its file may have been deleted since.
        const isKnown = file && resume.parts.every((part) => part !== null)
        return isKnown && (await holdsAgainst(content, resume, signal)) ? { file } : undefined
      }
      default:
        return undefined
    }
  } catch (error) {
    // Most servers cannot tell about Uploads.
    if (error instanceof ApiException && [404, 405, 501].includes(error.status ?? 0))
      return undefined
    throw error
  }
}

/** Whether all that is known to have arrived is what the content has in its place now. */
async function holdsAgainst(
  content: Content,
  { parts, partBytes }: LargeUploadState,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const [place, part] of parts.entries()) {
    signal?.throwIfAborted()
    if (part === null) continue
    if (part.sha256 !== (await sha256Of(partOf(content, partBytes, place)))) return false
  }
  return true
}

/**
 * All parts that have arrived, also those whose answers were lost, in their places.
 *
 * @returns undefined if one has no place.
 */
async function findLost(
  uploads: UploadsApi,
  content: Content,
  { uploadId, parts, partBytes }: LargeUploadState,
  signal: AbortSignal | undefined,
): Promise<(ArrivedPart | null)[] | undefined> {
  const known = new Set(parts.map((part) => part?.id))
  const lost = new Map<string | undefined, ArrivedPart>()
  let after: string | undefined
  do {
    const page = await uploads.listUploadParts(uploadId, { after, signal })
    for (const { id, sha256 } of page.data) if (!known.has(id)) lost.set(sha256, { id, sha256 })
    after = page.has_more === true ? page.data.at(-1)?.id : undefined
  } while (after !== undefined)

  const found = [...parts]
  for (const [place, part] of parts.entries()) {
    if (lost.size === 0) break
    signal?.throwIfAborted()
    if (part !== null) continue
    const sum = await sha256Of(partOf(content, partBytes, place))
    found[place] = lost.get(sum) ?? null
    lost.delete(sum)
  }
  return lost.size === 0 ? found : undefined
}

/** A part is held in memory for it: browsers know no digest that takes content in pieces. */
async function sha256Of(source: UploadSource): Promise<string> {
  const content = await (await toBlob(source)).arrayBuffer()
  const digest = await crypto.subtle.digest('SHA-256', content)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function partOf({ bytes, slice }: Content, partBytes: number, place: number): UploadSource {
  return slice(place * partBytes, Math.min(bytes, (place + 1) * partBytes))
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
  const parts = Array.from({ length: Math.ceil(bytes / partBytes) }, () => null)
  const state = { uploadId: upload.id, bytes, partBytes, parts }
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
  const parts = [...state.parts]
  const sources = parts.map((_, place) => partOf(content, partBytes, place))
  const sent = sources.map(({ bytes }, place) => (parts[place] === null ? 0 : Number(bytes)))
  // One failure ends the others, whose parts nobody waits for.
  const failure = new AbortController()
  const both = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal])
  const missing = [...sources.entries()].filter(([place]) => parts[place] === null).values()
  let told: void | Promise<void>

  async function sendSome(): Promise<void> {
    for (const [place, source] of missing) {
      const { id, sha256 } = await uploads.addUploadPart(uploadId, source, {
        signal: both,
        onProgress(now) {
          sent[place] = now
          onProgress?.(
            sent.reduce((sum, one) => sum + one, 0),
            bytes,
          )
        },
      })
      parts[place] = { id, sha256 }
      told = tell(told)
      await told
    }
  }

  /** Each call has what had arrived when its turn came, so that the last one is the newest. */
  async function tell(before: void | Promise<void>): Promise<void> {
    await before
    await onState?.({ ...state, parts: [...parts] })
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
  return parts.flatMap((part) => part?.id ?? [])
}

function fileOf({ file }: Upload): OpenAIFile {
  if (file) return file
  throw new UnexpectedAnswerException('The server completed the Upload and named no file.')
}

/** The failure that leads here is the one to be told, and soon: the line may be what failed. */
async function giveUp(uploads: UploadsApi, uploadId: string): Promise<void> {
  const signal = AbortSignal.timeout(giveUpMilliseconds)
  await uploads.cancelUpload(uploadId, { signal }).catch(() => undefined)
}
