/** Stores that fail on purpose: each call by its name, before or after it did its work. */

import type { BlobDriver } from '../../packages/server/src/blobs/blob-driver.ts'
import { MetadataError } from '../../packages/server/src/metadata/metadata-error.ts'
import type { MetadataStore } from '../../packages/server/src/metadata/metadata-store.ts'

/** What a fault site did. */
export interface Faults {
  /** Whether the site, as `metadata.addFile after`, fails now. */
  fires(site: string): boolean
}

/** A store whose calls fail before they begin, or after they were committed and nobody was told. */
export function withFaults(metadata: MetadataStore, faults: Faults): MetadataStore {
  const calls = Object.entries<(...args: never[]) => Promise<unknown>>({ ...metadata }).map(
    ([name, call]) => [
      name,
      name === 'close'
        ? call
        : async (...args: never[]) => {
            failAt(faults, `metadata.${name} before`)
            const result = await call(...args)
            failAt(faults, `metadata.${name} after`)
            return result
          },
    ],
  )
  // Each operation by its own name, with its own arguments and result.
  return Object.fromEntries(calls) as MetadataStore
}

export function withDriverFaults(driver: BlobDriver, faults: Faults): BlobDriver {
  return {
    ...driver,
    async write(id, source) {
      failAt(faults, 'blobs.write before', 'ENOSPC')
      await driver.write(id, amid(source, faults))
      failAt(faults, 'blobs.write after', 'EIO')
    },
    async *read(id, range) {
      failAt(faults, 'blobs.read before', 'EMFILE')
      for await (const piece of driver.read(id, range)) {
        yield piece
        failAt(faults, 'blobs.read amid', 'EIO')
      }
    },
    async delete(id) {
      failAt(faults, 'blobs.delete before', 'EIO')
      await driver.delete(id)
      failAt(faults, 'blobs.delete after', 'EIO')
    },
    async *list(prefix) {
      failAt(faults, 'blobs.list before', 'EIO')
      yield* driver.list(prefix)
    },
    async tidy() {
      failAt(faults, 'blobs.tidy before', 'EIO')
      await driver.tidy()
    },
    async writeMark(text) {
      failAt(faults, 'blobs.writeMark before', 'EIO')
      await driver.writeMark(text)
      failAt(faults, 'blobs.writeMark after', 'EIO')
    },
  }
}

async function* amid(source: AsyncIterable<Uint8Array>, faults: Faults) {
  for await (const piece of source) {
    failAt(faults, 'blobs.write amid', 'EIO')
    yield piece
  }
}

function failAt(faults: Faults, site: string, code?: string): void {
  if (!faults.fires(site)) return
  const cause = Object.assign(new Error(`A fault at ${site}.`), { code })
  if (code !== undefined) throw cause
  throw new MetadataError('unavailable', cause.message, { cause })
}
