/** `coffer backup`: copies a store while its server runs. */

import type { Command } from 'commander'
import { interruptible } from './interruptible.ts'
import { printable } from './printable.ts'
import { Failure, type Io } from './program.ts'
import { showProgress } from './progress.ts'
import { size } from './readable.ts'
import { addStoreOption, findStore, type StoreOption } from './store-option.ts'

interface BackupOptions extends StoreOption {
  readonly to: string
}

export function addBackupCommand(program: Command, io: Io): void {
  addStoreOption(
    program
      .command('backup')
      .description('Copy a store, which may be in use meanwhile, to a new folder.')
      .requiredOption('--to <folder>', 'where the backup goes: a folder that is empty or absent'),
  ).action((options: BackupOptions) =>
    interruptible(io, (signal) => backUpStore(options, io, signal), 'Stopped. There is no backup.'),
  )
}

async function backUpStore(options: BackupOptions, io: Io, signal: AbortSignal): Promise<void> {
  const places = await findStore(options, io)
  const { backUp } = await import('@coffer/server/tools')
  const progress = showProgress(io)
  const bar = progress.begin('backup')
  try {
    const made = await backUp(places, options.to, { signal, moved: bar.moved })
    const { folder, manifest, lost } = made
    const what = `${manifest.files} files, ${size(manifest.bytes)}`
    progress.print(`${printable(folder)}: ${what}, as of ${manifest.created_at}\n`)
    for (const id of lost)
      progress.note(`Not in the backup: ${id}: its bytes are not there as they were stored.`)
    if (lost.length > 0) {
      throw new Failure(
        `The backup is made without ${lost.length === 1 ? 'one file' : `${lost.length} files`}: ` +
          'take their bytes from an older one, or delete them. coffer fsck tells more.',
      )
    }
  } finally {
    bar.done()
    progress.end()
  }
}
