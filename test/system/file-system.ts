/** A file system of its own in a loop device, whose power can be cut. */

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll } from 'vitest'

const run = promisify(execFile)
const GiB = 1024 ** 3

export type FileSystemType = 'ext4' | 'xfs'

export interface FileSystem extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string
  /** Unmounts and mounts again, which replays the journal. Nobody may have anything open there. */
  remount(): Promise<void>
}

/** The commands behind these functions, and the Debian package of each. */
export const fileSystemCommands = {
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  losetup: 'mount',
  python3: 'python3',
}

export async function makeFileSystem(type: FileSystemType): Promise<FileSystem> {
  await using failed = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'coffer-file-system-'))
  folders.add(folder)
  failed.defer(() => remove(folder))
  const image = join(folder, 'image')
  const path = mountPoint(folder)
  await mkdir(path)
  await writeFile(image, '')
  await truncate(image, 4 * GiB)
  await run(`mkfs.${type}`, ['-q', image])
  const mount = () => run('mount', ['-t', type, '-o', 'loop', image, path])
  await mount()

  const made = failed.move()
  return {
    path,
    async remount() {
      await run('umount', [path])
      await mount()
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/**
 * Loses all that the devices do not have yet, and all that would still be written: the shutdown
 * call of ext4 and XFS without a flush of their journals. Nothing may be writing meanwhile.
 */
export async function cutPower(fileSystems: readonly FileSystem[]): Promise<void> {
  await run('python3', ['-c', shutDown, ...fileSystems.map(({ path }) => path)])
}

// Node has no ioctl. 2 is NOLOGFLUSH.
const shutDown = `
import fcntl, os, struct, sys
for path in sys.argv[1:]:
    fcntl.ioctl(os.open(path, os.O_RDONLY), 0x8004587d, struct.pack('I', 2))
`

function mountPoint(folder: string): string {
  return join(folder, 'mounted')
}

async function remove(folder: string): Promise<void> {
  // Lazily, as a test that failed may have left something open. The loop device goes with it.
  await run('umount', ['--lazy', mountPoint(folder)]).catch(() => {})
  await rm(folder, { recursive: true, force: true })
  folders.delete(folder)
}

// A test that runs out of time never comes to its own clean-up.
const folders = new Set<string>()
afterAll(async () => {
  for (const folder of folders) await remove(folder)
})
