/** From the URLs of a configuration to open stores: the only place that names drivers. */

import { dirname, resolve } from 'node:path'
import type { BlobDriver } from './blobs/blob-driver.ts'
import { type BlobStore, createBlobStore } from './blobs/blob-store.ts'
import { openDiskDriver } from './blobs/disk.ts'
import { makeFolder } from './blobs/folder-sync.ts'
import { createMemoryDriver } from './blobs/memory.ts'
import type { Config } from './config.ts'
import { lockFolder } from './lock-folder.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'
import { openSqliteStore } from './metadata/sqlite.ts'

export interface Stores extends AsyncDisposable {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
}

/** Opens both stores, each in a folder that no other process has. */
export async function openStores(config: Pick<Config, 'metadata' | 'blobs'>): Promise<Stores> {
  await using opened = new AsyncDisposableStack()
  const locks = new Set<string>()

  async function takeFolder(path: string): Promise<void> {
    // Both stores may name one folder, each in its own way.
    const folder = resolve(path)
    if (locks.has(folder)) return
    locks.add(folder)
    await makeFolder(folder)
    opened.use(lockFolder(folder))
  }

  async function openBlobs(): Promise<BlobDriver> {
    switch (config.blobs.driver) {
      case 'memory':
        return createMemoryDriver()
      case 'disk':
        await takeFolder(config.blobs.folder)
        return openDiskDriver(config.blobs.folder)
      default:
        return config.blobs satisfies never
    }
  }

  async function openMetadata(): Promise<MetadataStore> {
    const { path } = config.metadata
    if (path !== ':memory:') await takeFolder(dirname(path))
    return openSqliteStore(path)
  }

  const metadata = opened.adopt(await openMetadata(), (store) => store.close())
  const blobs = opened.adopt(createBlobStore(await openBlobs()), (store) => store.close())
  const kept = opened.move()
  return { metadata, blobs, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
