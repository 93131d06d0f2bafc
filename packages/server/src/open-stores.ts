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
  for (const folder of foldersOf(config)) {
    await makeFolder(folder)
    opened.use(lockFolder(folder))
  }
  const openMetadata = async () =>
    opened.adopt(await openSqliteStore(config.metadata.path), (store) => store.close())
  const openBlobs = async () =>
    opened.adopt(createBlobStore(await openDriver(config.blobs)), (store) => store.close())

  // Their threads start side by side. If one fails, the other is open before it is closed again.
  const opening = [openMetadata(), openBlobs()] as const
  await Promise.allSettled(opening)
  const [metadata, blobs] = await Promise.all(opening)
  const kept = opened.move()
  return { metadata, blobs, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** Both stores may name one folder, each in its own way. */
function foldersOf({ metadata, blobs }: Pick<Config, 'metadata' | 'blobs'>): Set<string> {
  const folders = new Set<string>()
  if (metadata.path !== ':memory:') folders.add(resolve(dirname(metadata.path)))
  if (blobs.driver === 'disk') folders.add(resolve(blobs.folder))
  return folders
}

async function openDriver(blobs: Config['blobs']): Promise<BlobDriver> {
  switch (blobs.driver) {
    case 'memory':
      return createMemoryDriver()
    case 'disk':
      return openDiskDriver(blobs.folder)
    default:
      return blobs satisfies never
  }
}
