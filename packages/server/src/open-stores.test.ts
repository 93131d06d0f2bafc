import { mkdir, mkdtempDisposable, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStores, type StoresConfig } from './open-stores.ts'

describe('stores', () => {
  it('keep rows and bytes where they are told to', async () => {
    await using folder = await makeFolder()
    await using stores = await open(configOf(join(folder.path, 'rows'), folder.path))
    await stores.blobs.write('aa01', content(), { maxBytes: 100_000 })
    await stores.metadata.addLooseBlobs({
      ...{ blob_ids: ['aa01'], sweep_after: 1, server_id: 'server_1' },
    })
    expect(await readdir(join(folder.path, 'aa'))).toEqual(['aa01'])
    expect(await readdir(join(folder.path, 'rows'))).toContain('coffer.db')
  })

  it('may share a folder, however it is written', async () => {
    await using folder = await makeFolder()
    await using _stores = await open(configOf(join(folder.path, 'data'), `${folder.path}/./data/`))
    expect(await readdir(join(folder.path, 'data'))).toContain('coffer.db')
  })

  it.each([
    ['rows', { rows: 'one', blobs: 'other' }],
    ['bytes', { rows: 'other', blobs: 'two' }],
  ])('have their folder of %s for themselves', async (_, { rows, blobs }) => {
    await using folder = await makeFolder()
    const at = (name: string) => join(folder.path, name)
    {
      await using _stores = await open(configOf(at('one'), at('two')))
      await expect(open(configOf(at(rows), at(blobs)))).rejects.toThrow('in use')
    }
    await using _stores = await open(configOf(at(rows), at(blobs)))
  })

  it('leave nothing open or locked when bytes cannot be kept', async () => {
    await using folder = await makeFolder()
    const rows = join(folder.path, 'rows')
    const blobs = join(folder.path, 'blobs')
    await mkdir(blobs)
    await writeFile(join(blobs, 'tmp'), 'no folder')
    await expect(open(configOf(rows, blobs))).rejects.toThrow('EEXIST')
    // A database that was closed has folded its log.
    expect((await readdir(rows)).sort()).toEqual(['LOCK', 'coffer.db', 'coffer.db-ballast'])
    await rm(join(blobs, 'tmp'))
    await using _stores = await open(configOf(rows, blobs))
  })

  it('leave nothing open or locked when rows cannot be kept', async () => {
    await using folder = await makeFolder()
    const rows = join(folder.path, 'rows')
    const blobs = join(folder.path, 'blobs')
    await mkdir(join(rows, 'coffer.db'), { recursive: true })
    await expect(open(configOf(rows, blobs))).rejects.toThrow('unable to open database')
    const names = await readdir(blobs)
    expect(names).toContain('small-blobs.db')
    expect(names).not.toContain('small-blobs.db-wal')
    await rm(join(rows, 'coffer.db'), { recursive: true })
    await using _stores = await open(configOf(rows, blobs))
  })

  it('may be in memory, and touch no folder then', async () => {
    await using stores = await open({
      metadata: { driver: 'sqlite', path: ':memory:' },
      blobs: { driver: 'memory' },
      metadataConnections: 1,
    })
    await Promise.all([stores.metadata.check(), stores.blobs.check()])
  })
})

const makeFolder = () => mkdtempDisposable(join(tmpdir(), 'coffer-stores-'))

const open = (config: StoresConfig) => openStores(config, () => {})

function configOf(rows: string, blobs: string): StoresConfig {
  return {
    metadata: { driver: 'sqlite', path: `${rows}/coffer.db` },
    blobs: { driver: 'disk', folder: blobs },
    metadataConnections: 1,
  }
}

async function* content() {
  yield Buffer.alloc(100_000)
}
