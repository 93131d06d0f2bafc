/** Holds the content of one file against what was stored. */

import { createHash } from 'node:crypto'
import { BlobError } from '../blobs/blob-error.ts'
import { isSystemError } from '../blobs/blob-file.ts'
import { checkBlocks } from '../blobs/block-sums.ts'
import type { DiskReader } from '../blobs/disk-reader.ts'
import type { Segment } from '../metadata/files.ts'
import type { WholeFile } from '../metadata/inspection.ts'
import { isStorageFault } from '../sqlite/faults.ts'

/** What the pieces pass through on their way, as to rest in between. */
export type Paced = (pieces: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>

export interface FoundDamage {
  /** A sentence. */
  readonly what: string
  /** Undefined where all blobs are whole, and what they make up is not. */
  readonly blob: string | undefined
}

/** @throws if bytes cannot be read for a reason that is no damage. */
export async function findDamage(
  bytes: DiskReader,
  file: Pick<WholeFile, 'segments' | 'sha256'>,
  paced: Paced = (pieces) => pieces,
): Promise<FoundDamage | undefined> {
  const digest = createHash('sha256')
  for (const segment of file.segments) {
    try {
      const size = await bytes.size(segment.blob_id)
      if (size === undefined) return { what: 'its bytes are missing', blob: segment.blob_id }
      if (size !== segment.bytes) {
        const what = `${size} bytes are there, and ${segment.bytes} were stored`
        return { what, blob: segment.blob_id }
      }
      for await (const piece of readChecked(bytes, segment, paced)) digest.update(piece)
    } catch (error) {
      const what = whatIsDamaged(error)
      if (what === undefined) throw error
      return { what, blob: segment.blob_id }
    }
  }
  if (file.sha256 === '' || digest.digest('hex') === file.sha256) return undefined
  const [only] = file.segments
  const blob = file.segments.length === 1 ? only?.blob_id : undefined
  return { what: 'its content is not what was stored', blob }
}

function readChecked(
  bytes: DiskReader,
  { blob_id: id, bytes: end, checksums: sums }: Segment,
  paced: Paced,
): AsyncIterable<Uint8Array> {
  const pieces = paced(bytes.read(id, { start: 0, end }))
  return sums.length === 0 ? pieces : checkBlocks(pieces, { id, sums, first: 0 })
}

/** Undefined where the error says nothing about the bytes: another user's file is not damaged. */
export function whatIsDamaged(error: unknown): string | undefined {
  if (error instanceof BlobError) {
    return error.code === 'not-found' ? 'its bytes are missing' : sentenceOf(error)
  }
  if (isStorageFault(error) || isSystemError(error, 'EIO')) {
    return `the disk cannot read it: ${sentenceOf(error)}`
  }
  return undefined
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error)
}
