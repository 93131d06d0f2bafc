/** From the URLs of a configuration to open stores: the only place that names drivers. */

import { dirname, resolve } from 'node:path'
import type { BlobDriver } from './blobs/blob-driver.ts'
import { type BlobStore, createBlobStore } from './blobs/blob-store.ts'
import { makeFolder } from './blobs/folder-sync.ts'
import type { Config } from './config.ts'
import { lockFolder } from './lock-folder.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'

export interface Stores extends AsyncDisposable {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  /** Whether other servers may run on the same stores. */
  readonly isShared: boolean
}

export type StoresConfig = Pick<Config, 'metadata' | 'blobs' | 'metadataConnections'>

/**
 * Opens both stores. Those in a folder are for one process alone, and so are rows whose bytes are in one.
 *
 * @param warn is told, in a sentence, what the operator should know of them.
 */
export async function openStores(
  config: StoresConfig,
  warn: (message: string) => void,
): Promise<Stores> {
  await using opened = new AsyncDisposableStack()
  for (const folder of foldersOf(config)) {
    await makeFolder(folder)
    opened.use(lockFolder(folder))
  }
  const isShared = config.metadata.driver === 'postgres' && config.blobs.driver === 's3'
  const openMetadata = async () =>
    opened.adopt(await openMetadataStore(config, { isShared, warn }), (store) => store.close())
  const openBlobs = async () =>
    opened.adopt(createBlobStore(await openDriver(config.blobs, warn)), (store) => store.close())

  // Their threads start side by side. If one fails, the other is open before it is closed again.
  const opening = [openMetadata(), openBlobs()] as const
  await Promise.allSettled(opening)
  const [metadata, blobs] = await Promise.all(opening)
  const kept = opened.move()
  return { metadata, blobs, isShared, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** Both stores may name one folder, each in its own way. */
export function foldersOf({ metadata, blobs }: Pick<Config, 'metadata' | 'blobs'>): Set<string> {
  const folders = new Set<string>()
  if (metadata.driver === 'sqlite' && metadata.path !== ':memory:') {
    folders.add(resolve(dirname(metadata.path)))
  }
  if (blobs.driver === 'disk') folders.add(resolve(blobs.folder))
  return folders
}

// Of the drivers only those are loaded that are used: their libraries are large.

async function openMetadataStore(
  { metadata, metadataConnections }: StoresConfig,
  { isShared, warn }: { isShared: boolean; warn: (message: string) => void },
): Promise<MetadataStore> {
  switch (metadata.driver) {
    case 'sqlite': {
      const { openSqliteStore } = await import('./metadata/sqlite.ts')
      return openSqliteStore(metadata.path)
    }
    case 'postgres': {
      const { openPostgresStore } = await import('./metadata/postgres.ts')
      const { url } = metadata
      return openPostgresStore({ url, connections: metadataConnections, isShared, warn })
    }
    default:
      return metadata satisfies never
  }
}

export async function openDriver(
  blobs: Config['blobs'],
  warn: (message: string) => void,
): Promise<BlobDriver> {
  switch (blobs.driver) {
    case 'memory': {
      const { createMemoryDriver } = await import('./blobs/memory.ts')
      return createMemoryDriver()
    }
    case 'disk': {
      const { openDiskDriver } = await import('./blobs/disk.ts')
      return openDiskDriver(blobs.folder)
    }
    case 's3': {
      const { openS3Driver } = await import('./blobs/s3.ts')
      return openS3Driver({ ...blobs, warn })
    }
    default:
      return blobs satisfies never
  }
}
