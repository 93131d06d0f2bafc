/** What a backup says of itself, in the file `manifest.json` of its folder. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Places } from './places.ts'

export const manifestName = 'manifest.json'

const Manifest = z.object({
  format: z.literal(1),
  /** The mark of the store at the time. */
  store: z.object({ id: z.string(), generation: z.int() }),
  files: z.int(),
  /** Of all files. */
  bytes: z.int(),
  /** When the rows were copied; the backup has every file that was acknowledged before. */
  created_at: z.iso.datetime(),
})

export type Manifest = z.infer<typeof Manifest>

/** A backup is laid out as a data folder is by default. */
export function placesIn(folder: string): Places {
  return { database: join(folder, 'coffer.db'), blobs: join(folder, 'blobs') }
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`
}

/** @throws if the folder is no backup that this version knows, with a sentence. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, manifestName)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new Error(`${folder} is no backup of Coffer: ${path} cannot be read.`, { cause })
  })
  try {
    return Manifest.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error(
      `${path} is not the manifest of a backup, or one of a newer Coffer, which restores it.`,
      { cause },
    )
  }
}
