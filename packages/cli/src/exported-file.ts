/** A file of an export: where its bytes lie, and its line of the manifest. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { OpenAIFile } from '@coffer/client'
import { codeOf } from './failures.ts'
import { toIdName, toPortableName } from './local-name.ts'

export const manifestName = 'manifest.jsonl'

/** A line of the manifest. */
export interface ExportedFile {
  /** Of the bytes, below the export. */
  readonly path: string
  readonly bytes: number
  /** Of the bytes, in hexadecimal. */
  readonly sha256: string
  /** As the service gave it. */
  readonly file: OpenAIFile
}

/**
 * A folder for each id, so that each file keeps its name, and has its place without regard to what
 * others there are. Paths of other places are never taken from a manifest.
 */
export function pathOf({ id, filename }: OpenAIFile): string {
  return `files/${toIdName(id)}/${toPortableName(String(filename ?? ''), id)}`
}

/** Of what was parsed from a line; undefined if it is none of a manifest. */
export function readExportedFile(value: unknown): ExportedFile | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { path, bytes, sha256, file } = value as Record<string, unknown>
  const isFile = typeof file === 'object' && file !== null && 'id' in file
  if (!isFile || typeof file.id !== 'string' || typeof path !== 'string') return undefined
  if (typeof bytes !== 'number' || typeof sha256 !== 'string') return undefined
  return { path, bytes, sha256, file: file as OpenAIFile }
}

/** Whether the bytes are there as the manifest says. */
export async function isThere(
  folder: string,
  { path, bytes, sha256 }: Pick<ExportedFile, 'path' | 'bytes' | 'sha256'>,
  signal: AbortSignal,
): Promise<boolean> {
  const place = join(folder, path)
  try {
    if ((await stat(place)).size !== bytes) return false
    const hash = createHash('sha256')
    await pipeline(createReadStream(place), hash, { signal })
    return hash.digest('hex') === sha256
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '')) return false
    throw error
  }
}
