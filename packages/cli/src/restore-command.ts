/** `coffer restore`: makes a store of a backup. */

import type { Command } from 'commander'
import { interruptible } from './interruptible.ts'
import { printable } from './printable.ts'
import { Failure, type Io } from './program.ts'
import { showProgress } from './progress.ts'
import { size } from './readable.ts'
import { addStoreOption, findStore, type StoreOption } from './store-option.ts'

interface RestoreOptions extends StoreOption {
  readonly from: string
}

export function addRestoreCommand(program: Command, io: Io): void {
  addStoreOption(
    program
      .command('restore')
      .description('Make a store of a backup; its data folder must be empty or absent.')
      .requiredOption('--from <folder>', 'the folder of the backup'),
  ).action((options: RestoreOptions) =>
    interruptible(
      io,
      (signal) => restoreStore(options, io, signal),
      'Stopped. Nothing was restored.',
    ),
  )
}

async function restoreStore(options: RestoreOptions, io: Io, signal: AbortSignal): Promise<void> {
  const places = await findStore(options, io)
  const { restore } = await import('@coffer/server/tools')
  const progress = showProgress(io)
  const bar = progress.begin('restore')
  let damaged: number
  try {
    const { manifest, report } = await restore(options.from, places, { signal, moved: bar.moved })
    const what = `${manifest.files} files, ${size(manifest.bytes)}`
    progress.print(`${printable(places.database)}: ${what}, as of ${manifest.created_at}\n`)
    damaged = report.faults.length
  } finally {
    bar.done()
    progress.end()
  }
  if (damaged === 0) return
  throw new Failure(
    `${damaged} of the files ${damaged === 1 ? 'was' : 'were'} damaged when the backup was made; ` +
      'coffer fsck names them.',
  )
}
