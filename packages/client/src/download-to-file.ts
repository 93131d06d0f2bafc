/** Downloads a file to a path: beside its name first, resumed where it broke, never half there. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { link, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ApiException, ConnectionException, UnexpectedAnswerException } from './api-exception.ts'
import type { FileContent } from './file-content.ts'
import type { FilesApi } from './files-api.ts'

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined
  /** Whether a file at the path may be replaced; false by default. */
  readonly overwrite?: boolean | undefined
  /** Called as bytes arrive: how many are there, and of how many, where that is known. */
  readonly onProgress?: ((received: number, bytes: number | undefined) => void) | undefined
}

/** What lies at the path in the end. */
export interface DownloadedFile {
  readonly bytes: number
  /** In hexadecimal, of the bytes as they came. */
  readonly sha256: string
}

/** Ends the names of downloads that are not whole. */
const suffix = '.coffer-part'

/** How often a download goes on after its connection broke without a single new byte. */
const fruitlessTries = 3

/**
 * The bytes gather in a file beside `path` that is named for the content's ETag, so that a later
 * call goes on where this one ended, in another process too. An ETag that is a SHA-256, as
 * Coffer's are, is held against the bytes before the file gets its name.
 *
 * @throws ApiException; an error with code `EEXIST` if there is a file and `overwrite` is not set.
 */
export async function downloadToFile(
  files: FilesApi,
  fileId: string,
  path: string,
  { signal, overwrite = false, onProgress }: DownloadOptions = {},
): Promise<DownloadedFile> {
  if (!overwrite) await refuseExisting(path)
  let furthest = 0
  for (let fruitless = 0; ; ) {
    const begun = await findDraft(path)
    const before = furthest
    try {
      const content = await openRest(files, fileId, begun, signal)
      const draft = await receive(content, path, begun, (at) => {
        furthest = Math.max(furthest, at)
        onProgress?.(at, content.totalBytes)
      })
      await (overwrite ? rename(draft.path, path) : publish(draft.path, path))
      return { bytes: draft.bytes, sha256: draft.sha256 }
    } catch (error) {
      // What has come stays, so that only the rest is asked for again.
      fruitless = furthest > before ? 0 : fruitless + 1
      if (!(error instanceof ConnectionException) || fruitless === fruitlessTries) throw error
    }
  }
}

interface Draft {
  readonly path: string
  readonly etag: string
  readonly bytes: number
}

/** What an earlier call has left of a download to this path. */
async function findDraft(path: string): Promise<Draft | undefined> {
  const folder = dirname(path)
  const prefix = draftPrefix(path)
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith(suffix)) continue
    const encoded = name.slice(prefix.length, -suffix.length)
    const etag = Buffer.from(encoded, 'base64url').toString()
    // Another file whose name begins alike has its drafts here too.
    if (etag === '' || Buffer.from(etag).toString('base64url') !== encoded) continue
    const { size } = await stat(join(folder, name))
    return { path: join(folder, name), etag, bytes: size }
  }
  return undefined
}

/** A hash in place of a long name, which has no room for more: file systems allow 255 bytes. */
function draftPrefix(path: string): string {
  const name = basename(path)
  if (Buffer.byteLength(name) <= 100) return `.${name}.`
  return `.${createHash('sha256').update(name).digest('base64url')}.`
}

async function openRest(
  files: FilesApi,
  fileId: string,
  begun: Draft | undefined,
  signal: AbortSignal | undefined,
): Promise<FileContent> {
  if (begun === undefined || begun.bytes === 0) return files.openFile(fileId, { signal })
  try {
    const range = { start: begun.bytes }
    const content = await files.openFile(fileId, { signal, range, ifRange: begun.etag })
    const isRest = content.start === begun.bytes && content.etag === begun.etag
    if (isRest || content.start === 0) return content
    // Not every server knows If-Range.
    await content.cancel()
  } catch (error) {
    // There is no rest: the draft is of another file, or whole and yet without its name.
    if (!(error instanceof ApiException && error.status === 416)) throw error
  }
  await unlink(begun.path)
  return files.openFile(fileId, { signal })
}

/** @returns the draft, which is whole and durable. */
async function receive(
  content: FileContent,
  path: string,
  begun: Draft | undefined,
  onReceived: (position: number) => void,
): Promise<DownloadedFile & { readonly path: string }> {
  const name = Buffer.from(content.etag ?? '').toString('base64url')
  const draft = join(dirname(path), `${draftPrefix(path)}${name}${suffix}`)
  if (begun !== undefined && begun.path !== draft) await rm(begun.path, { force: true })
  const hash = createHash('sha256')
  if (content.start > 0) await pipeline(createReadStream(draft), hash, { end: false })
  await using handle = await open(draft, content.start > 0 ? 'a' : 'w')
  let position = content.start
  for await (const piece of content) {
    await handle.writeFile(piece)
    hash.update(piece)
    position += piece.length
    onReceived(position)
  }
  await handle.sync()
  const sha256 = hash.digest('hex')
  await check(draft, content.etag, sha256)
  return { path: draft, bytes: position, sha256 }
}

async function check(draft: string, etag: string | undefined, came: string): Promise<void> {
  const [, sha256] = /^"([\da-f]{64})"$/.exec(etag ?? '') ?? []
  if (sha256 === undefined || sha256 === came) return
  await unlink(draft)
  throw new UnexpectedAnswerException('The bytes that came are not those that the ETag stands for.')
}

/** Gives the draft its name unless another file took it meanwhile. */
async function publish(draft: string, path: string): Promise<void> {
  await link(draft, path)
  await unlink(draft)
}

async function refuseExisting(path: string): Promise<void> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return undefined
  })
  if (handle === undefined) return
  await handle.close()
  throw Object.assign(new Error(`${path} exists.`), { code: 'EEXIST' })
}
