/** `coffer backup`: copies a store while its server runs. */

import type { Command } from 'commander'
import { interruptible } from './interruptible.ts'
import { printable } from './printable.ts'
import type { Io } from './program.ts'
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
  const { backUp } = await import('@coffer/server')
  const progress = showProgress(io)
  const bar = progress.begin('backup')
  try {
    const { folder, manifest } = await backUp(places, options.to, { signal, moved: bar.moved })
    const what = `${manifest.files} files, ${size(manifest.bytes)}`
    progress.print(`${printable(folder)}: ${what}, as of ${manifest.created_at}\n`)
  } finally {
    bar.done()
    progress.end()
  }
}
