import { describe, expect, it } from 'vitest'
import { BlobError } from '../blobs/blob-error.ts'
import { type BlobStore, createBlobStore } from '../blobs/blob-store.ts'
import { createMemoryDriver } from '../blobs/memory.ts'
import { MetadataError } from '../metadata/metadata-error.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { watchStorage } from './storage-health.ts'

describe('the storage', () => {
  it('is unready after three failures within a minute, and ready again when they lie behind', async () => {
    await using watched = await openWatched(new BlobError('unavailable', 'EIO'))
    for (const failures of [1, 2]) {
      await expect(watched.stores.blobs.delete('aa01')).rejects.toThrow('EIO')
      expect(watched.failures()).toBe(failures)
      await watched.check()
    }
    watched.clock.time += 59
    await expect(watched.stores.blobs.delete('aa01')).rejects.toThrow('EIO')
    await expect(watched.check()).rejects.toThrow('failed 3 times within 60 seconds')
    watched.clock.time += 1
    await watched.check()
  })

  it('is ready when as many failures lie further apart', async () => {
    await using watched = await openWatched(new MetadataError('unavailable', 'IOERR'))
    for (let round = 0; round < 5; round += 1) {
      await expect(watched.stores.blobs.delete('aa01')).rejects.toThrow('IOERR')
      watched.clock.time += 30
      await watched.check()
    }
  })

  it.each([
    ['a blob that is not there', new BlobError('not-found', 'none')],
    ['rows that others keep', new MetadataError('busy', 'locked')],
    ['too large a file', new BlobError('too-large', 'large')],
    ['a client that left', new Error('left')],
  ])('has not failed with %s', async (_, error) => {
    await using watched = await openWatched(error)
    for (let round = 0; round < 4; round += 1) {
      await expect(watched.stores.blobs.delete('aa01')).rejects.toThrow(error.message)
    }
    expect(watched.failures()).toBe(0)
    await watched.check()
  })

  it('passes on what its calls give', async () => {
    await using watched = await openWatched(new Error('unused'))
    const { metadata, blobs } = watched.stores
    expect(await metadata.findKeyOwner({ digest: 'd1' })).toBe(undefined)
    const source = (async function* () {
      yield Buffer.from('content')
    })()
    const { bytes, checksums } = await blobs.write('aa01', source, { maxBytes: 10 })
    const range = { start: 0, end: bytes }
    const pieces = await Array.fromAsync(blobs.read({ id: 'aa01', bytes, checksums }, range))
    expect(String(Buffer.concat(pieces))).toBe('content')
  })
})

/** A storage whose deletions of blobs fail. */
async function openWatched(error: Error) {
  const metadata = await openSqliteStore(':memory:')
  const blobs: BlobStore = {
    ...createBlobStore(createMemoryDriver()),
    async delete() {
      throw error
    },
  }
  const clock = { time: 1_700_000_000, now: () => clock.time }
  let failures = 0
  const measures = {
    add() {
      failures += 1
    },
  }
  return {
    ...watchStorage({ metadata, blobs, clock, measures }),
    clock,
    failures: () => failures,
    [Symbol.asyncDispose]: () => metadata.close(),
  }
}
