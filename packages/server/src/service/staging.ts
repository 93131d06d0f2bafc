/** Writes bytes as a loose blob, and drops it again unless a file comes to hold it. */

import { BlobError } from '../blobs/blob-error.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { LineCheck } from '../content-rules/line-checks.ts'
import {
  createEncodingWatch,
  type TextEdges,
  type TextEncoding,
} from '../content-rules/text-encoding.ts'
import type { BlobIds } from './blob-ids.ts'
import type { ServiceError } from './errors.ts'
import type { Removal } from './removal.ts'

/** Content that is durable but belongs to no file yet; disposing of it removes the bytes. */
export interface StagedContent extends AsyncDisposable {
  readonly blob_id: string
  readonly bytes: number
  readonly sha256: string
  readonly checksums: Uint8Array
  readonly encoding: TextEncoding
  /** Of content that may be a part of more. */
  readonly edges: TextEdges
  /** What looked at all of it as it came. */
  readonly watched: LineCheck | undefined
  /** Says that a file holds the bytes now. */
  keep(): void
}

export interface StageOptions {
  readonly maxBytes: number
  readonly tooLarge: () => ServiceError
  /** Is given the content as it comes. */
  readonly watch?: LineCheck | undefined
}

export interface Staging {
  /**
   * @throws what `tooLarge` gives, at the first byte over `maxBytes`; BlobError; whatever `source`
   *   throws.
   */
  stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<StagedContent>
  /** The blobs of all content that was begun and is neither kept nor removed. */
  underWay(): string[]
  /** Resolves once all content that was begun is kept or removed. */
  settled(): Promise<void>
}

export interface StagingNeeds {
  readonly blobs: BlobStore
  readonly blobIds: BlobIds
  readonly removal: Removal
}

export function createStaging({ blobs, blobIds, removal }: StagingNeeds): Staging {
  const unsettled = new Map<string, Promise<void>>()

  /** @returns what says that the blob is kept or removed. */
  function begin(blob_id: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    unsettled.set(blob_id, promise)
    return () => {
      unsettled.delete(blob_id)
      resolve()
    }
  }

  return {
    async stage(source, { maxBytes, tooLarge, watch }) {
      const blob_id = await blobIds.next()
      const encoding = createEncodingWatch()
      const settle = begin(blob_id)
      try {
        const options = { maxBytes, reader: watch }
        const written = await blobs.write(blob_id, encoding.watch(source), options)
        let kept = false
        return {
          blob_id,
          ...written,
          encoding: encoding.result(),
          edges: encoding.edges(),
          watched: watch,
          keep() {
            kept = true
            settle()
          },
          async [Symbol.asyncDispose]() {
            // Its thread forgets it, also where the purpose asked for no report.
            await watch?.result().catch(() => undefined)
            if (kept) return
            await removal.discard(blob_id)
            settle()
          },
        }
      } catch (error) {
        // Its thread forgets it; why it failed is known.
        await watch?.result().catch(() => undefined)
        await removal.discard(blob_id)
        settle()
        if (error instanceof BlobError && error.code === 'too-large') throw tooLarge()
        throw error
      }
    },
    underWay: () => [...unsettled.keys()],
    async settled() {
      await Promise.all(unsettled.values())
    },
  }
}
