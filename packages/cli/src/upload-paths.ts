/** Which files a list of paths, folders and patterns means. */

import { glob, lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

export type Found =
  | { readonly path: string; readonly skipped?: undefined }
  /** Why the path is not uploaded, as part of a sentence. */
  | { readonly path: string; readonly skipped: string; readonly isFailure?: boolean }

/**
 * Yields files in the order of the arguments; those of a folder, below it too, by name. A path that
 * exists is taken as it is, also if it looks like a pattern. `-` is standard input.
 */
export async function* findFiles(given: readonly string[]): AsyncGenerator<Found> {
  for (const path of given) {
    if (path === '-') yield { path }
    else if (await exists(path)) yield* inPath(path)
    else yield* matching(path)
  }
}

async function* matching(pattern: string): AsyncGenerator<Found> {
  const paths = await Array.fromAsync(glob(pattern))
  if (paths.length === 0) {
    yield { path: pattern, skipped: 'there is no such file', isFailure: true }
  }
  for (const path of paths.sort()) yield* inPath(path)
}

async function* inPath(path: string): AsyncGenerator<Found> {
  const facts = await stat(path)
  if (!facts.isDirectory()) {
    yield { path }
    return
  }
  const entries = await readdir(path)
  if (entries.length === 0) yield { path, skipped: 'the folder is empty' }
  for (const name of entries.sort()) yield* inFolder(join(path, name), name)
}

/** What is found in a folder was not asked for by name, so some of it is left out. */
async function* inFolder(path: string, name: string): AsyncGenerator<Found> {
  const facts = await lstat(path)
  if (name.startsWith('.')) yield { path, skipped: 'it is hidden' }
  else if (facts.isSymbolicLink()) yield { path, skipped: 'it is a link' }
  else if (facts.isDirectory()) yield* inPath(path)
  else if (facts.isFile()) yield { path }
  else yield { path, skipped: 'it is no regular file' }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch {
    return false
  }
}
