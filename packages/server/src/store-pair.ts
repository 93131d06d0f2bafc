/** How a pair of stores is named to a command that works on two. */

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import type { Config } from './config.ts'
import { BlobsUrl, MetadataUrl } from './store-urls.ts'
import { placesIn } from './tools/manifest.ts'

/** Rows and the bytes that they hold. */
export type StorePair = Pick<Config, 'metadata' | 'blobs'>

/** A pair of stores is not named as it should be. Nothing of what was given is in the message: it may be secret. */
export class StorePairError extends Error {
  override readonly name = 'StorePairError'
}

const expected = 'expected a data folder, or METADATA_URL,BLOBS_URL'

/**
 * @param text a data folder, or two URLs with a comma between. In place of each, `@FILE` names a file that holds it.
 * @throws StorePairError
 */
export function readStorePair(text: string): StorePair {
  // Neither a list of hosts nor a folder has such a thing behind a comma.
  const [, rows, bytes] = /^(.+),((?:file:|s3:|memory:|@).*)$/s.exec(text) ?? []
  if (rows === undefined || bytes === undefined) return pairIn(text)
  const metadata = parse(MetadataUrl, read(rows))
  const blobs = parse(BlobsUrl, read(bytes))
  if (blobs.driver === 'memory' || (metadata.driver === 'sqlite' && metadata.path === ':memory:')) {
    throw new StorePairError('what is in the memory of a server cannot be copied, or be copied to')
  }
  return {
    metadata:
      metadata.driver === 'sqlite' ? { ...metadata, path: resolve(metadata.path) } : metadata,
    blobs: blobs.driver === 'disk' ? { ...blobs, folder: resolve(blobs.folder) } : blobs,
  }
}

function pairIn(text: string): StorePair {
  if (
    text === '' ||
    text.startsWith('@') ||
    /^(sqlite|postgres|postgresql|file|s3|memory):/.test(text)
  ) {
    throw new StorePairError(expected)
  }
  const { database, blobs } = placesIn(resolve(text))
  return {
    metadata: { driver: 'sqlite', path: database },
    blobs: { driver: 'disk', folder: blobs },
  }
}

function read(text: string): string {
  if (!text.startsWith('@')) return text
  const path = text.slice(1)
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new StorePairError(`the file ${path} cannot be read`, { cause })
  }
}

function parse<Output>(schema: z.ZodType<Output>, text: string): Output {
  const parsed = schema.safeParse(text)
  if (parsed.success) return parsed.data
  throw new StorePairError(z.flattenError(parsed.error).formErrors.join('; '))
}

/** To be shown: without a password. */
export function nameOfPair({ metadata, blobs }: StorePair): string {
  const rows = metadata.driver === 'sqlite' ? metadata.path : withoutSecrets(metadata.url)
  switch (blobs.driver) {
    case 'disk':
      return `${rows} and ${blobs.folder}`
    case 's3':
      return `${rows} and s3://${blobs.bucket}/${blobs.prefix}`
    case 'memory':
      return rows
    default:
      return blobs satisfies never
  }
}

function withoutSecrets(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`
}
