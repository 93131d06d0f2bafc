/** Content as the segments that it is made of, and what it means if they cannot be read. */

import type { ByteRange } from '../blobs/blob-driver.ts'
import { BlobError } from '../blobs/blob-error.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { ReadRange } from '../content-rules/texts.ts'
import type { Segment } from '../metadata/files.ts'
import { serviceUnavailable } from './errors.ts'
import type { StoreBinding } from './store-binding.ts'

/** The bytes of a range of the content that the segments make up, one after the other. */
export async function* readSegments(
  blobs: BlobStore,
  segments: readonly Segment[],
  { start, end }: ByteRange,
): AsyncGenerator<Uint8Array> {
  let offset = 0
  for (const { blob_id, bytes, checksums } of segments) {
    const within = { start: Math.max(start - offset, 0), end: Math.min(end - offset, bytes) }
    if (within.start < within.end) yield* blobs.read({ id: blob_id, bytes, checksums }, within)
    offset += bytes
  }
  // An answer of a size that was told would never end.
  if (offset < end)
    throw new BlobError('not-found', 'The segments are shorter than what they make up.')
}

/** Reads ranges of it into memory. */
export function rangeReader(blobs: BlobStore, segments: readonly Segment[]): ReadRange {
  return async (start, end) => {
    const pieces = await Array.fromAsync(readSegments(blobs, segments, { start, end }))
    const [first, ...rest] = pieces
    return first !== undefined && rest.length === 0 ? first : Buffer.concat(pieces)
  }
}

/**
 * Tells bytes that are damaged or gone from all else that may keep them from being read.
 *
 * @param stillWanted throws if they went with what held them.
 * @returns the error of bytes that are lost.
 * @throws any other error, ServiceError `service_unavailable` if all bytes are out of reach.
 */
export async function requireLoss(
  error: unknown,
  stillWanted: () => Promise<unknown>,
  binding: Pick<StoreBinding, 'check'>,
): Promise<BlobError> {
  if (!(error instanceof BlobError)) throw error
  if (error.code === 'not-found') {
    await stillWanted()
    await binding.check().catch((cause: unknown) => {
      throw serviceUnavailable(cause)
    })
  } else if (error.code !== 'damaged') throw error
  return error
}
