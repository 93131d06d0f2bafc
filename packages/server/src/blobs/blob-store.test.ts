import { describe, expect, it } from 'vitest'
import type { BlobDriver } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { createBlobStore } from './blob-store.ts'
import { createMemoryDriver } from './memory.ts'

const MiB = 1024 * 1024
const noLimit = { maxBytes: Number.MAX_SAFE_INTEGER }

describe('a blob store', () => {
  it.each([
    ['ENOSPC', 'full'],
    ['EDQUOT', 'full'],
    ['EIO', 'unavailable'],
    ['EMFILE', 'unavailable'],
    ['EROFS', 'unavailable'],
  ])('calls a failure of its driver with %s %s', async (systemCode, code) => {
    const cause = Object.assign(new Error('The disk failed.'), { code: systemCode })
    const store = createBlobStore(failingWith(cause))
    const expected = { name: 'BlobError', code, cause }
    await expect(store.write('aa01', content(), noLimit)).rejects.toMatchObject(expected)
    await expect(firstOf(store.read(blob, { start: 0, end: 1 }))).rejects.toMatchObject(expected)
    await expect(store.delete('aa01')).rejects.toMatchObject(expected)
    await expect(store.check()).rejects.toMatchObject(expected)
    await expect(store.tidy()).rejects.toMatchObject(expected)
    await expect(firstOf(store.list('aa'))).rejects.toMatchObject(expected)
    await expect(store.readMark()).rejects.toMatchObject(expected)
    await expect(store.writeMark('mark')).rejects.toMatchObject(expected)
  })

  it('calls a full database full', async () => {
    const cause = Object.assign(new Error('database or disk is full'), { errcode: 13 })
    const store = createBlobStore(failingWith(cause))
    const write = store.write('aa01', content(), noLimit)
    await expect(write).rejects.toMatchObject({ code: 'full', cause })
  })

  it('calls a failure without a code unavailable', async () => {
    const cause = new Error('The file has 6 bytes, not the 7 written.')
    const store = createBlobStore(failingWith(cause))
    const write = store.write('aa01', content(), noLimit)
    await expect(write).rejects.toMatchObject({ code: 'unavailable', cause })
  })

  it('passes on what its driver calls by name', async () => {
    const error = new BlobError('exists', 'Blob aa01 exists.')
    const store = createBlobStore(failingWith(error))
    await expect(store.write('aa01', content(), noLimit)).rejects.toBe(error)
    await expect(firstOf(store.read(blob, { start: 0, end: 1 }))).rejects.toBe(error)
    await expect(store.delete('aa01')).rejects.toBe(error)
    await expect(store.check()).rejects.toBe(error)
  })

  it('passes on an error of the source even if it looks like one of the disk', async () => {
    const failure = Object.assign(new Error('No space for the form.'), { code: 'ENOSPC' })
    async function* source() {
      yield Buffer.from('content')
      throw failure
    }
    const store = createBlobStore(createMemoryDriver())
    await expect(store.write('aa01', source(), noLimit)).rejects.toBe(failure)
  })

  it('calls a failure of its driver by name also when it comes amid the source', async () => {
    const cause = Object.assign(new Error('The disk is full.'), { code: 'ENOSPC' })
    let closed = false
    async function* source() {
      try {
        for (;;) yield Buffer.alloc(MiB)
      } finally {
        closed = true
      }
    }
    const store = createBlobStore({
      ...createMemoryDriver(),
      async write(_, source) {
        for await (const _ of source) throw cause
      },
    })
    await expect(store.write('aa01', source(), noLimit)).rejects.toMatchObject({ code: 'full' })
    expect(closed).toBe(true)
  })

  it('calls a failure of its driver by name also when it comes amid a read', async () => {
    const cause = Object.assign(new Error('The disk failed.'), { code: 'EIO' })
    const store = createBlobStore({
      ...createMemoryDriver(),
      async *read() {
        yield Buffer.from('con')
        throw cause
      },
    })
    const read = store.read(blob, { start: 0, end: 7 })[Symbol.asyncIterator]()
    expect(await read.next()).toMatchObject({ value: Buffer.from('con') })
    await expect(read.next()).rejects.toMatchObject({ code: 'unavailable', cause })
  })
})

const blob = { id: 'aa01', bytes: 1, checksums: new Uint8Array() }

async function* content() {
  yield Buffer.from('content')
}

function firstOf(source: AsyncIterable<unknown>): Promise<unknown> {
  return source[Symbol.asyncIterator]().next()
}

function failingWith(error: Error): BlobDriver {
  return {
    async write(_, source) {
      await Array.fromAsync(source)
      throw error
    },
    // biome-ignore lint/correctness/useYield: it fails before its first piece.
    async *read() {
      throw error
    },
    async delete() {
      throw error
    },
    async check() {
      throw error
    },
    async tidy() {
      throw error
    },
    // biome-ignore lint/correctness/useYield: it fails before its first id.
    async *list() {
      throw error
    },
    async readMark() {
      throw error
    },
    async writeMark() {
      throw error
    },
    async close() {},
  }
}
