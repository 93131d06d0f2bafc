import { mkdtempDisposable, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BlobStore, createBlobStore } from './blob-store.ts'
import { describeBlobStore } from './conformance.ts'
import { openDiskDriver } from './disk.ts'

const KiB = 1024
const smallest = 16 * KiB + 1
const noLimit = { maxBytes: Number.MAX_SAFE_INTEGER }

describeBlobStore('blobs on a disk', {
  readsOutliveDeletion: true,
  async open() {
    const folder = await makeFolder()
    const driver = await openDiskDriver(folder.path)
    return {
      driver,
      async [Symbol.asyncDispose]() {
        await driver.close()
        await folder.remove()
      },
    }
  },
})

describe('a blob', () => {
  it('is a file of its own from 16 KiB and a byte on, in whatever pieces it comes', async () => {
    await using disk = await openDisk()
    const sizes = fc.oneof(
      fc.constantFrom(0, 1, 16 * KiB - 1, 16 * KiB, 16 * KiB + 1),
      fc.nat(40 * KiB),
    )
    let count = 0
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 20_000 }), async (size, piece) => {
        count += 1
        const id = `aa${count}`
        const content = Buffer.alloc(size, id)
        await disk.store.write(id, pieces(content, piece), noLimit)
        expect((await disk.files()).includes(id)).toBe(size >= smallest)
        expect((await disk.read(id, size)).equals(content)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('of either size is there after the folder is opened again', async () => {
    await using disk = await openDisk()
    await disk.store.write('aa01', pieces(Buffer.from('small'), 5), noLimit)
    await disk.store.write('aa02', pieces(Buffer.alloc(smallest, 'x'), smallest), noLimit)
    await disk.reopen()
    expect(String(await disk.read('aa01', 5))).toBe('small')
    expect((await disk.read('aa02', smallest)).equals(Buffer.alloc(smallest, 'x'))).toBe(true)
  })
})

describe('a small blob that was deleted', () => {
  it('can be found nowhere in the folder once that was tidied, and its room is given back', async () => {
    await using disk = await openDisk()
    await disk.store.write('aa00', pieces(Buffer.alloc(100, 'stays'), 100), noLimit)
    const before = (await stat(disk.database)).size
    const ids = Array.from({ length: 300 }, (_, count) => `ab${count}`)
    const content = Buffer.alloc(5000, 'the needle in the hay ')
    await Promise.all(ids.map((id) => disk.store.write(id, pieces(content, 5000), noLimit)))
    expect((await disk.everything()).includes('needle')).toBe(true)
    await Promise.all(ids.map((id) => disk.store.delete(id)))
    await disk.store.tidy()
    expect((await disk.everything()).includes('needle')).toBe(false)
    expect((await stat(disk.database)).size).toBeLessThan(before + 64 * KiB)
    expect(String(await disk.read('aa00', 5))).toBe('stays')
  })

  it('is gone at the next time to tidy, also if the process ended before', async () => {
    await using disk = await openDisk()
    await disk.store.write('aa01', pieces(Buffer.alloc(5000, 'needle'), 5000), noLimit)
    await disk.store.delete('aa01')
    await disk.reopen()
    await disk.store.tidy()
    expect((await disk.everything()).includes('needle')).toBe(false)
  })
})

describe('a database of small blobs', () => {
  it('that was removed takes no more blobs, which nobody would find again', async () => {
    await using disk = await openDisk()
    await disk.store.write('aa01', pieces(Buffer.from('small'), 5), noLimit)
    await rm(disk.database)
    const write = disk.store.write('aa02', pieces(Buffer.from('small'), 5), noLimit)
    await expect(write).rejects.toMatchObject({ code: 'unavailable' })
    await expect(disk.store.check()).rejects.toMatchObject({ code: 'unavailable' })
  })
})

const makeFolder = () => mkdtempDisposable(join(tmpdir(), 'coffer-disk-'))

async function openDisk() {
  const folder = await makeFolder()
  let store: BlobStore = createBlobStore(await openDiskDriver(folder.path))
  const entries = () => readdir(folder.path, { recursive: true, withFileTypes: true })
  return {
    get store() {
      return store
    },
    database: join(folder.path, 'small-blobs.db'),
    async reopen() {
      await store.close()
      store = createBlobStore(await openDiskDriver(folder.path))
    },
    async read(id: string, end: number) {
      return Buffer.concat(
        await Array.fromAsync(
          store.read({ id, bytes: end, checksums: new Uint8Array() }, { start: 0, end }),
        ),
      )
    },
    async files() {
      return (await entries()).filter((entry) => entry.isFile()).map(({ name }) => name)
    },
    /** The bytes of all files, the database's included. */
    async everything() {
      const files = (await entries()).filter((entry) => entry.isFile())
      return Buffer.concat(
        await Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name)))),
      )
    },
    async [Symbol.asyncDispose]() {
      await store.close()
      await folder.remove()
    },
  }
}

async function* pieces(content: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size)
}
