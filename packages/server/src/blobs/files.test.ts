import {
  type FileHandle,
  mkdtempDisposable,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createBlobStore } from './blob-store.ts'
import { describeBlobStore } from './conformance.ts'
import { openFilesDriver } from './files.ts'
import { createRoom } from './room.ts'

const MiB = 1024 * 1024
const noLimit = { maxBytes: Number.MAX_SAFE_INTEGER }

describeBlobStore('blobs on disk', {
  readsOutliveDeletion: true,
  async open() {
    const folder = await makeFolder()
    return {
      driver: await openDriver(folder.path),
      [Symbol.asyncDispose]: () => folder.remove(),
    }
  },
})

describe('the folder of blobs', () => {
  it('has all 256 folders that blobs can fall into, for the owner only', async () => {
    await using folder = await makeFolder()
    await openDriver(folder.path)
    const names = Array.from({ length: 256 }, (_, prefix) => prefix.toString(16).padStart(2, '0'))
    expect((await readdir(folder.path)).sort()).toEqual([...names, 'tmp'])
    for (const name of ['00', 'ff', 'tmp']) {
      expect(await modeOf(join(folder.path, name)), name).toBe(0o700)
    }
  })

  it('is made with the folders above it', async () => {
    await using folder = await makeFolder()
    const root = join(folder.path, 'a', 'b', 'blobs')
    const store = createBlobStore(await openDriver(root))
    await store.write('aa01', content(), noLimit)
    expect(await modeOf(root)).toBe(0o700)
  })

  it('keeps its blobs when it is opened again, and what is missing of it is made', async () => {
    await using folder = await makeFolder()
    await createBlobStore(await openDriver(folder.path)).write('aa01', content(), noLimit)
    await rm(join(folder.path, 'ab'), { recursive: true })
    const store = createBlobStore(await openDriver(folder.path))
    await store.write('ab01', content(), noLimit)
    for (const id of ['aa01', 'ab01']) {
      expect(await Array.fromAsync(store.read(known(id), { start: 0, end: 7 }))).toHaveLength(1)
    }
  })

  it('is cleared of interrupted writes when it is opened again', async () => {
    await using folder = await makeFolder()
    await openDriver(folder.path)
    await writeFile(join(folder.path, 'tmp', 'aa01'), 'half of a bl')
    await writeFile(join(folder.path, 'tmp', 'aa02'), '')
    const store = createBlobStore(await openDriver(folder.path))
    expect(await drafts(folder.path)).toEqual([])
    await store.write('aa01', content(), noLimit)
    expect(await readFile(join(folder.path, 'aa', 'aa01'), 'utf8')).toBe('content')
  })
})

describe('a blob on disk', () => {
  it('is a file under the first two letters of its id, for the owner only', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await store.write('c0ffee', content(), noLimit)
    const path = join(folder.path, 'c0', 'c0ffee')
    expect(await readFile(path, 'utf8')).toBe('content')
    expect(await modeOf(path)).toBe(0o600)
  })

  it('stands only in the temporary folder until its source has ended', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    const seen: string[][] = []
    const look = async () => {
      seen.push(await drafts(folder.path), await readdir(join(folder.path, 'aa')))
    }
    async function* source() {
      await look()
      yield Buffer.alloc(3 * MiB)
      await look()
    }
    await store.write('aa01', source(), noLimit)
    await look()
    expect(seen).toEqual([['aa01'], [], ['aa01'], [], [], ['aa01']])
  })

  it('has one name once it is written', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await store.write('aa01', content(), noLimit)
    expect((await stat(join(folder.path, 'aa', 'aa01'))).nlink).toBe(1)
  })

  it.each([0, 1, MiB - 1, MiB, 2 * MiB - 1])(
    'that was cut to %i bytes fails to be read, and never just ends',
    async (left) => {
      await using folder = await makeFolder()
      const store = createBlobStore(await openDriver(folder.path))
      await store.write('aa01', zeros(2 * MiB), noLimit)
      await truncate(join(folder.path, 'aa', 'aa01'), left)
      let read = 0
      const reading = (async () => {
        for await (const piece of store.read(known('aa01'), { start: 0, end: 2 * MiB })) {
          read += piece.length
        }
      })()
      await expect(reading).rejects.toMatchObject({ name: 'BlobError', code: 'damaged' })
      // As far as it could be read in whole pieces.
      expect(read).toBe(left - (left % (MiB / 2)))
    },
  )

  it('is not read through a symbolic link', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await writeFile(join(folder.path, 'secret'), 'content')
    await symlink(join(folder.path, 'secret'), join(folder.path, 'aa', 'aa01'))
    const reading = Array.fromAsync(store.read(known('aa01'), { start: 0, end: 7 }))
    await expect(reading).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('a sync that fails', () => {
  afterEach(() => {
    vi.restoreAllMocks()
  })

  // Of 80 MiB there are two on the way and one at the end.
  it.each([1, 2, 3])(
    'fails the write, and is not tried again: the one of number %i',
    async (nth) => {
      await using folder = await makeFolder()
      const store = createBlobStore(await openDriver(folder.path))
      await using handle = await open(folder.path)
      const failure = Object.assign(new Error('The disk failed.'), { code: 'EIO' })
      const prototype: FileHandle = Object.getPrototypeOf(handle)
      const { datasync } = prototype
      let syncs = 0
      vi.spyOn(prototype, 'datasync').mockImplementation(function (this: FileHandle) {
        syncs += 1
        return syncs === nth ? Promise.reject(failure) : datasync.call(this)
      })
      const writing = store.write('aa01', zeros(80 * MiB), noLimit)
      await expect(writing).rejects.toMatchObject({ code: 'unavailable', cause: failure })
      expect(syncs).toBe(nth)
      expect(await drafts(folder.path)).toEqual([])
      expect(await readdir(join(folder.path, 'aa'))).toEqual([])
      await store.close()
    },
  )
})

describe('a write to disk', () => {
  it('leaves no temporary file behind, however it ends', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await store.write('aa01', content(), noLimit)
    expect(await drafts(folder.path)).toEqual([])

    await expect(store.write('aa01', content(), noLimit)).rejects.toThrow('exists')
    expect(await drafts(folder.path)).toEqual([])

    await expect(store.write('aa02', content(), { maxBytes: 6 })).rejects.toThrow('exceeds')
    expect(await drafts(folder.path)).toEqual([])

    await expect(store.write('aa02', failing(), noLimit)).rejects.toThrow('The client left.')
    expect(await drafts(folder.path)).toEqual([])
    expect(await readdir(join(folder.path, 'aa'))).toEqual(['aa01'])
  })

  it('says that the store does not work when its folder is gone, and leaves nothing', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await rm(join(folder.path, 'aa'), { recursive: true })
    const write = store.write('aa01', content(), noLimit)
    await expect(write).rejects.toMatchObject({
      code: 'unavailable',
      cause: expect.objectContaining({ code: 'ENOENT' }),
    })
    expect(await drafts(folder.path)).toEqual([])
  })

  // The open files of a process can be seen only there.
  it.runIf(process.platform === 'linux')('and a read close their files', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await store.write('aa01', zeros(2 * MiB), noLimit)
    await expect(store.write('aa02', failing(), noLimit)).rejects.toThrow('The client left.')
    for await (const _ of store.read(known('aa01'), { start: 0, end: 2 * MiB })) {
      expect(await openFilesIn(folder.path)).toEqual([join(folder.path, 'aa', 'aa01')])
      break
    }
    await Array.fromAsync(store.read(known('aa01'), { start: 0, end: 2 * MiB }))
    const beyond = Array.fromAsync(store.read(known('aa01'), { start: 0, end: 3 * MiB }))
    await expect(beyond).rejects.toMatchObject({ code: 'damaged' })
    expect(await openFilesIn(folder.path)).toEqual([])
  })
})

describe('a check of blobs on disk', () => {
  it('fails when the temporary folder is gone', async () => {
    await using folder = await makeFolder()
    const store = createBlobStore(await openDriver(folder.path))
    await rm(join(folder.path, 'tmp'), { recursive: true })
    await expect(store.check()).rejects.toMatchObject({ code: 'unavailable' })
  })
})

const makeFolder = () => mkdtempDisposable(join(tmpdir(), 'coffer-blobs-'))

const openDriver = (root: string) => openFilesDriver(root, createRoom(root))

const known = (id: string) => ({ id, bytes: 3 * MiB, checksums: new Uint8Array() })

async function* content() {
  yield Buffer.from('content')
}

async function* zeros(size: number) {
  yield Buffer.alloc(size)
}

async function* failing() {
  yield Buffer.from('content')
  throw new Error('The client left.')
}

async function drafts(root: string): Promise<string[]> {
  return readdir(join(root, 'tmp'))
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

async function openFilesIn(root: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const paths = await Promise.all(
    // The descriptor that read the folder itself is closed by now.
    descriptors.map((descriptor) => readlink(`/proc/self/fd/${descriptor}`).catch(() => '')),
  )
  return paths.filter((path) => path.startsWith(root))
}
