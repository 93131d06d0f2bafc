/** Whether the stores work: their failures are counted, and too many of late mean that they do not. */

import { BlobError } from '../blobs/blob-error.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import { MetadataError } from '../metadata/metadata-error.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Clock } from './clock.ts'
import type { Measures } from './measures.ts'

/** As many failures within as many seconds make a server unready, until they lie behind. */
const tolerated = { failures: 3, seconds: 60 }

interface Stores {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
}

export interface StorageHealth {
  /** The same stores, watched. */
  readonly stores: Stores
  /** Rejects if the stores do not work now or failed too often of late. */
  check(): Promise<void>
}

export interface StorageHealthNeeds extends Stores {
  readonly clock: Clock
  readonly measures: Measures
}

export function watchStorage({
  metadata,
  blobs,
  clock,
  measures,
}: StorageHealthNeeds): StorageHealth {
  let failures: number[] = []

  function note(error: unknown): void {
    if (!isFailure(error)) return
    measures.add('storage_failures')
    failures = [...failures.slice(1 - tolerated.failures), clock.now()]
  }

  function watched<Args extends unknown[], Result>(run: (...args: Args) => Promise<Result>) {
    return async (...args: Args): Promise<Result> => {
      try {
        return await run(...args)
      } catch (error) {
        note(error)
        throw error
      }
    }
  }

  const calls = Object.entries<(...args: never[]) => Promise<unknown>>({ ...metadata }).map(
    ([name, call]) => [name, watched(call)],
  )
  return {
    stores: {
      // Each operation by its own name, with its own arguments and result.
      metadata: Object.fromEntries(calls) as MetadataStore,
      blobs: {
        ...blobs,
        write: watched(blobs.write),
        delete: watched(blobs.delete),
        tidy: watched(blobs.tidy),
        async *read(blob, range) {
          try {
            yield* blobs.read(blob, range)
          } catch (error) {
            note(error)
            throw error
          }
        },
      },
    },

    async check() {
      const [oldest] = failures
      const often = failures.length === tolerated.failures
      if (often && oldest !== undefined && clock.now() - oldest < tolerated.seconds) {
        throw new Error(
          `The storage failed ${tolerated.failures} times within ${tolerated.seconds} seconds.`,
        )
      }
      await Promise.all([metadata.check(), blobs.check()])
    },
  }
}

/** A damaged file or a full disk is no fault of the storage, which serves all else. */
function isFailure(error: unknown): boolean {
  const isOfStore = error instanceof MetadataError || error instanceof BlobError
  return isOfStore && error.code === 'unavailable'
}
