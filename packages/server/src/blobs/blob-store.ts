/** Immutable bytes under an id: counted, bounded and hashed as they pass to a driver. */

import { isFull } from '../sqlite/faults.ts'
import type { BlobDriver, ByteRange, LinkOptions } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { blockBytes, checkBlocks, wholeBlocks } from './block-sums.ts'
import { createDigests } from './digests.ts'
import { createIntake, type PieceReader, type TakenIn } from './intake.ts'
import { createPieceBuffers } from './piece-buffers.ts'

/** A blob as its reader knows it. */
export interface KnownBlob {
  readonly id: string
  readonly bytes: number
  /** As `write` gave them; none where the blob was written before there were any. */
  readonly checksums: Uint8Array
}

export interface BlobStore {
  /**
   * Writes a new blob durably, or leaves nothing behind. A piece of `source` is the source's again
   * once the next is asked for. A `reader` is given all of it too.
   *
   * @throws BlobError `too-large` at the first byte over `maxBytes`, `exists`, `too-slow`,
   *   `full`, `unavailable`; what `source` or `reader` throws comes through unchanged.
   */
  write(
    id: string,
    source: AsyncIterable<Uint8Array>,
    options: { maxBytes: number; reader?: PieceReader | undefined },
  ): Promise<TakenIn>
  /**
   * Yields the bytes of a range, of which each was found to be as it was written.
   *
   * @throws BlobError `not-found`, `damaged` or `unavailable`, when the first bytes are asked for or
   *   later.
   */
  read(blob: KnownBlob, range: ByteRange): AsyncIterable<Uint8Array>
  /** The MD5 of what the pieces make up, in lower-case hexadecimal, without holding others up. */
  md5(pieces: AsyncIterable<Uint8Array>): Promise<string>
  /** Removes a blob; one that does not exist is a success. */
  delete(id: string): Promise<void>
  /** The ids of all blobs that begin with `prefix`, two hexadecimal digits, in any order. */
  list(prefix: string): AsyncIterable<string>
  /** What stands beside the blobs and tells which store they are of; undefined if nothing does. */
  readMark(): Promise<string | undefined>
  /** Replaces the mark durably. */
  writeMark(text: string): Promise<void>
  /** @throws BlobError `unavailable` if blobs could not be written now. */
  check(): Promise<void>
  /** Does what deletions left for later, so that their bytes and room are gone; to be called at times. */
  tidy(): Promise<void>
  /**
   * A URL from which anybody who has it can read the blob, whether there is one or not; undefined
   * where blobs can be read only through us. What is read there is not held against checksums.
   */
  readonly link: ((id: string, options: LinkOptions) => Promise<string>) | undefined
  /** Lets go of the store, of which nothing is under way any more. */
  close(): Promise<void>
}

export function createBlobStore(driver: BlobDriver): BlobStore {
  const digests = createDigests()
  const buffers = createPieceBuffers()

  return {
    async write(id, source, { maxBytes, reader }) {
      await using intake = createIntake(source, { maxBytes, reader, digests, buffers })
      try {
        await driver.write(id, intake.pieces())
        return intake.result()
      } catch (error) {
        throw intake.failedOutside() ? error : asBlobError(error)
      }
    },

    async *read({ id, bytes, checksums }, range) {
      try {
        const isUnchecked = checksums.length === 0 || range.start === range.end
        if (isUnchecked) yield* driver.read(id, range)
        else yield* within(readChecked(driver, { id, bytes, checksums }, range), range)
      } catch (error) {
        throw asBlobError(error)
      }
    },

    async md5(pieces) {
      const digest = await digests.beginMd5()
      try {
        for await (const piece of pieces) await digest.add(piece)
      } catch (error) {
        // The thread forgets it; why it failed is known.
        await digest.result().catch(() => undefined)
        throw error
      }
      return digest.result()
    },

    delete: (id) => driver.delete(id).catch(rethrow),
    async *list(prefix) {
      try {
        yield* driver.list(prefix)
      } catch (error) {
        throw asBlobError(error)
      }
    },
    readMark: () => driver.readMark().catch(rethrow),
    writeMark: (text) => driver.writeMark(text).catch(rethrow),
    check: () => driver.check().catch(rethrow),
    tidy: () => driver.tidy().catch(rethrow),
    link: linkOf(driver),
    async close() {
      await digests.close()
      await driver.close()
    },
  }
}

function readChecked(
  driver: BlobDriver,
  { id, bytes, checksums }: KnownBlob,
  range: ByteRange,
): AsyncIterable<Uint8Array> {
  if (range.end > bytes) throw new BlobError('damaged', `Blob ${id} has ${bytes} bytes.`)
  const blocks = wholeBlocks(range, bytes)
  const first = blocks.start / blockBytes
  return checkBlocks(driver.read(id, blocks), { id, sums: checksums, first })
}

/** Of pieces that begin with the block of the range's first byte, what lies in the range. */
async function* within(
  pieces: AsyncIterable<Uint8Array>,
  { start, end }: ByteRange,
): AsyncGenerator<Uint8Array> {
  let skip = start % blockBytes
  let left = end - start
  for await (const piece of pieces) {
    const wanted = piece.subarray(skip, skip + left)
    skip = Math.max(0, skip - piece.length)
    left -= wanted.length
    if (wanted.length > 0) yield wanted
  }
}

function linkOf(driver: BlobDriver): BlobStore['link'] {
  const link = driver.link?.bind(driver)
  return link && ((id, options) => link(id, options).catch(rethrow))
}

function rethrow(error: unknown): never {
  throw asBlobError(error)
}

function asBlobError(cause: unknown): BlobError {
  if (cause instanceof BlobError) return cause
  if (isFull(cause)) {
    return new BlobError('full', 'The blob store is full.', { cause })
  }
  return new BlobError('unavailable', 'The blob store does not work now.', { cause })
}
