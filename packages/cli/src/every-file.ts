/** All files of a service, each once, whatever it knows of pages. */

import {
  ApiException,
  type FilesApi,
  type ListFilesResponse,
  type OpenAIFile,
} from '@coffer/client'

export interface EveryFile {
  /** The oldest first, as far as the service tells. */
  readonly files: readonly OpenAIFile[]
  /** How many more there are by the service's own count, which it does not list. */
  readonly unlisted: number
}

/**
 * Asks for all pages at once: what is done with the files may take hours, and not every service
 * knows a file as a cursor that was deleted meanwhile. Nothing is asked for but `after`, as some
 * refuse what they do not know.
 */
export async function listEveryFile(files: FilesApi, signal: AbortSignal): Promise<EveryFile> {
  const found = new Map<string, OpenAIFile>()
  let page = await files.listFiles({ signal })
  let total = 0
  for (;;) {
    const before = found.size
    for (const file of page.data) if (!found.has(file.id)) found.set(file.id, file)
    if (typeof page['total'] === 'number') total = page['total']
    const last = page.data.at(-1)
    // A service that does not page gives the same again, with `has_more` or without it.
    if (last === undefined || page.has_more === false || found.size === before) break
    const next = await listNext(files, page, last.id, signal)
    if (next === undefined) break
    page = next
  }
  // Of one second, the newest come first.
  const sorted = [...found.values()].reverse().sort((a, b) => createdAt(a) - createdAt(b))
  return { files: sorted, unlisted: Math.max(0, total - found.size) }
}

/** @returns undefined where the service did not speak of pages and refuses to be asked for one. */
async function listNext(
  files: FilesApi,
  page: ListFilesResponse,
  after: string,
  signal: AbortSignal,
): Promise<ListFilesResponse | undefined> {
  try {
    return await files.listFiles({ after, signal })
  } catch (error) {
    const isRefusal = error instanceof ApiException && [400, 404, 422].includes(error.status ?? 0)
    if (isRefusal && page.has_more === undefined) return undefined
    throw error
  }
}

function createdAt({ created_at }: OpenAIFile): number {
  return typeof created_at === 'number' ? created_at : 0
}

/** Whether a file was deleted since it was listed, by what came of a request for it. */
export async function isGone(
  files: FilesApi,
  id: string,
  error: unknown,
  signal: AbortSignal,
): Promise<boolean> {
  if (!isNotFound(error)) return false
  // Some services know no such request at all, and answer in the same way.
  return files.retrieveFile(id, { signal }).then(() => false, isNotFound)
}

function isNotFound(error: unknown): boolean {
  return error instanceof ApiException && error.status === 404
}
