/** `coffer scrub`: reads all content and tells which of it is not what was stored. */

import { constants, setPriority } from 'node:os'
import type { Damage, ScrubOutcome } from '@coffer/server/tools'
import { type Command, InvalidArgumentError } from 'commander'
import { interruptible } from './interruptible.ts'
import { jsonLine, printable } from './printable.ts'
import { Failure, type Io } from './program.ts'
import { showProgress } from './progress.ts'
import { size } from './readable.ts'
import { addStoreOption, findStore, type StoreOption } from './store-option.ts'

const MiB = 1024 * 1024

interface ScrubOptions extends StoreOption {
  readonly rate: number
  readonly json?: true
}

export function addScrubCommand(program: Command, io: Io): void {
  addStoreOption(program.command('scrub'))
    .description('Read all content and find what is damaged; the store may be in use meanwhile.')
    .option('--rate <number>', 'how many MiB to read in a second', toRate, 20)
    .option('--json', 'print a line of JSON for each damaged file')
    .action((options: ScrubOptions) =>
      interruptible(io, (signal) => scrubStore(options, io, signal)),
    )
}

function toRate(text: string): number {
  const rate = Number(text)
  if (rate > 0 && Number.isFinite(rate)) return rate
  throw new InvalidArgumentError('Give a number of MiB, as 20.')
}

async function scrubStore(options: ScrubOptions, io: Io, signal: AbortSignal): Promise<void> {
  // Behind all who wait for an answer. Not where it runs as a function in another program.
  if (io === process) setPriority(constants.priority.PRIORITY_LOW)
  const places = await findStore(options, io)
  const { scrub } = await import('@coffer/server/tools')
  const progress = showProgress(io)
  const bar = progress.begin('scrub')
  let outcome: ScrubOutcome
  try {
    outcome = await scrub(places, {
      signal,
      bytesPerSecond: options.rate * MiB,
      moved: bar.moved,
      found: (damage) => progress.print(options.json === true ? jsonLine(damage) : toLine(damage)),
    })
  } finally {
    bar.done()
    progress.end()
  }
  const { files, bytes, damaged } = outcome
  if (options.json !== true) {
    io.stdout.write(`${files} files, ${size(bytes)} read; ${damaged} damaged\n`)
  }
  if (damaged === 0) return
  throw new Failure(
    `${damaged} of ${files} files ${damaged === 1 ? 'is' : 'are'} damaged; take the bytes from a ` +
      'backup, or delete them.',
  )
}

function toLine({ file, what, blob, isMarked }: Damage): string {
  const where = blob === undefined ? '' : ` (blob ${blob})`
  return `${printable(`damaged: ${file}: ${what}${where}${isMarked ? '' : '; not marked'}`)}\n`
}
