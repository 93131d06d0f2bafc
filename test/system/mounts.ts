/** File systems that a test makes for itself, unmounted at its end. */

import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Mounted extends AsyncDisposable {
  readonly path: string
}

/** A file system in memory of so many MiB. */
export async function mountTmpfs(mebibytes: number): Promise<Mounted> {
  const path = await mkdtemp(join(tmpdir(), 'coffer-tmpfs-'))
  command('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path)
  return {
    path,
    async [Symbol.asyncDispose]() {
      // Lazily, for a test that failed may have left a process in it.
      command('umount', '-l', path)
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** @throws with what it said, if it does not end with 0. */
export function command(name: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(name, args, { encoding: 'utf8' })
  if (status === 0) return stdout
  throw new Error(`${name} ${args.join(' ')}: ${error?.message ?? stderr}`)
}
