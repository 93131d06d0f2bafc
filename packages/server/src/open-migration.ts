/** From the names of two pairs of stores to the ends of a migration: the drivers of both. */

import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { BlobReader } from './blobs/blob-reader.ts'
import { createBlobStore } from './blobs/blob-store.ts'
import { makeFolder } from './blobs/folder-sync.ts'
import { lockFolder } from './lock-folder.ts'
import type { SourceRows, TargetRows } from './metadata/row-ends.ts'
import { foldersOf, openDriver } from './open-stores.ts'
import { nameOfPair, type StorePair } from './store-pair.ts'
import type { MigrationSource, MigrationTarget } from './tools/migration-ends.ts'

/**
 * Opens a pair to be copied, beside the servers that run on it.
 *
 * @throws Error with a sentence, where it is not there or not of this version.
 */
export async function openMigrationSource(pair: StorePair): Promise<MigrationSource> {
  await using opened = new AsyncDisposableStack()
  const rows = opened.use(await named('--from', () => openSourceRows(pair.metadata)))
  const bytes = opened.adopt(await named('--from', () => openReader(pair.blobs)), (reader) =>
    reader.close(),
  )
  const kept = opened.move()
  return {
    name: nameOfPair(pair),
    rows,
    bytes,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/**
 * Opens a pair to copy to, for this process alone, and makes what is missing of it.
 *
 * @param warn is told, in a sentence, what the operator should know of the stores.
 * @throws Error with a sentence, where it cannot be used or others use it.
 */
export async function openMigrationTarget(
  pair: StorePair,
  warn: (message: string) => void,
): Promise<MigrationTarget> {
  await using opened = new AsyncDisposableStack()
  for (const folder of foldersOf(pair)) {
    await named('--to', async () => {
      await makeFolder(folder)
      opened.use(lockFolder(folder))
    })
  }
  const rows = opened.use(await named('--to', () => openTargetRows(pair.metadata, warn)))
  const driver = await named('--to', () => openDriver(pair.blobs, warn))
  const blobs = opened.adopt(createBlobStore(driver), (store) => store.close())
  const kept = opened.move()
  return {
    name: nameOfPair(pair),
    rows,
    blobs,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

async function openSourceRows(metadata: StorePair['metadata']): Promise<SourceRows> {
  switch (metadata.driver) {
    case 'sqlite': {
      if (!existsSync(metadata.path)) {
        throw new Error(`There is no store: ${metadata.path} does not exist.`)
      }
      const { openSqliteSource } = await import('./metadata/sqlite-ends.ts')
      return openSqliteSource(metadata.path)
    }
    case 'postgres': {
      const { openPostgresSource } = await import('./metadata/postgres-ends.ts')
      return openPostgresSource(metadata.url)
    }
    default:
      return metadata satisfies never
  }
}

async function openReader(blobs: StorePair['blobs']): Promise<BlobReader> {
  switch (blobs.driver) {
    case 'disk': {
      if (!existsSync(blobs.folder)) {
        throw new Error(`The folder of bytes ${blobs.folder} does not exist.`)
      }
      const { openDiskReader } = await import('./blobs/disk-reader.ts')
      const reader = openDiskReader(blobs.folder)
      return { ...reader, close: async () => reader[Symbol.dispose]() }
    }
    case 's3': {
      const { openS3Reader } = await import('./blobs/s3-reader.ts')
      return openS3Reader(blobs)
    }
    case 'memory':
      throw new Error('What is in the memory of a server cannot be copied.')
    default:
      return blobs satisfies never
  }
}

async function openTargetRows(
  metadata: StorePair['metadata'],
  warn: (message: string) => void,
): Promise<TargetRows> {
  switch (metadata.driver) {
    case 'sqlite': {
      const { openSqliteTarget } = await import('./metadata/sqlite-ends.ts')
      const rows = openSqliteTarget(metadata.path)
      const { flushFolder } = await import('./blobs/folder-sync.ts')
      await flushFolder(dirname(metadata.path))
      return rows
    }
    case 'postgres': {
      const { openPostgresTarget } = await import('./metadata/postgres-ends.ts')
      return openPostgresTarget(metadata.url, warn)
    }
    default:
      return metadata satisfies never
  }
}

/** Says which of the two it is that cannot be opened. */
async function named<Opened>(option: string, open: () => Promise<Opened>): Promise<Opened> {
  try {
    return await open()
  } catch (cause) {
    throw new Error(`${option}: ${reasonOf(cause)}`, { cause })
  }
}

/** Of a connection that was not to be had, what the system says of it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.name === 'ConnectionLost' ? reasonOf(error.cause) : error.message
}
