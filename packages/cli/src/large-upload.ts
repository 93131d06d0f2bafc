/** Sends a file that is too large for one request, or for losing one: in parts, to go on with later. */

import {
  ApiException,
  type FilesApi,
  type LargeUploadState,
  type OpenAIFile,
  type UploadSource,
  type UploadsApi,
  uploadLargeFile,
} from '@coffer/client'
import { sentenceOf } from './failures.ts'
import { printable } from './printable.ts'
import type { UploadKey, UploadStates } from './upload-states.ts'

const MiB = 1024 * 1024

/** What has more bytes is sent in parts. */
export const largeBytes = 64 * MiB

const giveUpMilliseconds = 5000

export interface LargeUploadNeeds {
  readonly files: FilesApi
  readonly uploads: UploadsApi
  readonly states: UploadStates
  /** Whether to go on with what broke off. */
  readonly resume: boolean
  /** Tells the user something. */
  note(line: string): void
}

export interface LargeFile {
  /** As the user wrote it. */
  readonly path: string
  readonly key: UploadKey
  readonly source: UploadSource
}

export interface LargeUploadOptions {
  readonly signal: AbortSignal
  readonly onProgress: (sent: number, bytes: number | undefined) => void
  /** How many parts are sent at once. */
  readonly parallel?: number
}

/**
 * A server without Uploads gets the file in one request. What broke off can be gone on with for as
 * long as the server waits, an hour by default; what can never come is given up.
 */
export async function uploadLarge(
  { files, uploads, states, resume, note }: LargeUploadNeeds,
  { path, key, source }: LargeFile,
  { parallel, ...watched }: LargeUploadOptions,
): Promise<OpenAIFile> {
  const { purpose, filename, expiresAfterSeconds } = key
  const { signal } = watched
  const options = { ...watched, filename, expiresAfterSeconds }
  let state = resume ? states.find(key) : undefined
  if (state !== undefined && state.bytes !== source.bytes) {
    note(`Sent from its beginning, as it has another size now: ${printable(path)}`)
    await giveUp(state)
    state = undefined
  }

  let isKept = true
  function keep(now: LargeUploadState): void {
    state = now
    try {
      if (isKept) states.keep(key, state)
    } catch (error) {
      isKept = false
      note(`If it breaks off, --resume cannot go on: ${printable(path)}: ${sentenceOf(error)}`)
    }
  }

  /** Until it expires its bytes would count as used. What failed before is what is told. */
  async function giveUp({ uploadId }: LargeUploadState): Promise<void> {
    states.forget(key)
    const patience = AbortSignal.timeout(giveUpMilliseconds)
    await uploads.cancelUpload(uploadId, { signal: patience }).catch(() => undefined)
  }

  try {
    const file = await uploadLargeFile(uploads, source, purpose, {
      ...options,
      parallel,
      resume: state,
      onState: keep,
    })
    states.forget(key)
    return file
  } catch (error) {
    if (state === undefined) {
      if (isUnknownRoute(error)) return files.createFile(source, purpose, options)
    } else if (isKept && (signal.aborted || mayGoOn(error))) {
      note(`The same command with --resume sends the rest: ${printable(path)}`)
    } else {
      await giveUp(state)
    }
    throw error
  }
}

/** Most servers that speak the Files API do not know Uploads. */
function isUnknownRoute(error: unknown): boolean {
  return error instanceof ApiException && [404, 405, 501].includes(error.status ?? 0)
}

/** Whether it was the line, the server or the key, and not the file or the Upload. */
function mayGoOn(error: unknown): boolean {
  // The bytes may come over a line too, and whatever reads them tells why it failed.
  const problem = error instanceof ApiException || !(error instanceof Error) ? error : error.cause
  return problem instanceof ApiException && ![400, 404, 413, 422].includes(problem.status ?? 0)
}
