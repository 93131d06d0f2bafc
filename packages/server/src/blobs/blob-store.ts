/** Immutable bytes under an id: counted, bounded and hashed as they pass to a driver. */

import { createHash } from 'node:crypto'
import type { BlobDriver, ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'

export interface WrittenBlob {
  readonly bytes: number
  /** Of the whole content, in lower-case hexadecimal. */
  readonly sha256: string
}

export interface BlobStore {
  /**
   * Writes a new blob durably, or leaves nothing behind.
   *
   * @throws BlobError `too-large` at the first byte over `maxBytes`, `exists`, `full`,
   *   `unavailable`; whatever `source` throws comes through unchanged.
   */
  write(
    id: string,
    source: AsyncIterable<Uint8Array>,
    options: { maxBytes: number },
  ): Promise<WrittenBlob>
  /** @throws BlobError `not-found` or `unavailable`, when the first bytes are asked for or later. */
  read(id: string, range: ByteRange): AsyncIterable<Uint8Array>
  /** Removes a blob; one that does not exist is a success. */
  delete(id: string): Promise<void>
  /** @throws BlobError `unavailable` if blobs could not be written now. */
  check(): Promise<void>
  /** Does what deletions left for later, so that their bytes and room are gone; to be called at times. */
  tidy(): Promise<void>
  /** Lets go of the store, of which nothing is under way any more. */
  close(): Promise<void>
}

export function createBlobStore(driver: BlobDriver): BlobStore {
  return {
    async write(id, source, { maxBytes }) {
      const digest = createHash('sha256')
      let bytes = 0
      let sourceFailed = false

      async function* metered() {
        try {
          for await (const piece of source) {
            bytes += piece.length
            if (bytes > maxBytes) {
              throw new BlobError('too-large', `The content exceeds ${maxBytes} bytes.`)
            }
            digest.update(piece)
            yield piece
          }
        } catch (error) {
          sourceFailed = true
          throw error
        }
      }

      try {
        await driver.write(id, metered())
      } catch (error) {
        throw sourceFailed ? error : asBlobError(error)
      }
      return { bytes, sha256: digest.digest('hex') }
    },

    async *read(id, range) {
      try {
        yield* driver.read(id, range)
      } catch (error) {
        throw asBlobError(error)
      }
    },

    delete: (id) => driver.delete(id).catch(rethrow),
    check: () => driver.check().catch(rethrow),
    tidy: () => driver.tidy().catch(rethrow),
    close: () => driver.close(),
  }
}

function rethrow(error: unknown): never {
  throw asBlobError(error)
}

function asBlobError(cause: unknown): BlobError {
  if (cause instanceof BlobError) return cause
  if (saysFull(cause)) {
    return new BlobError('full', 'The blob store is full.', { cause })
  }
  return new BlobError('unavailable', 'The blob store does not work now.', { cause })
}

const sqliteFull = 13

/** Of the file system, or of SQLite. */
function saysFull(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  if ('code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')) return true
  return 'errcode' in cause && cause.errcode === sqliteFull
}
