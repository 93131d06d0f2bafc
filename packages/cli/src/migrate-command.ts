/** `coffer migrate`: moves a store to other stores while its servers run. */

import type { Migrated, MigrationStep, StorePair } from '@coffer/server/tools'
import type { Command } from 'commander'
import { interruptible } from './interruptible.ts'
import { printable } from './printable.ts'
import { Failure, type Io, WrongUse } from './program.ts'
import { type FileProgress, type Progress, showProgress } from './progress.ts'
import { count, size } from './readable.ts'

interface MigrateOptions {
  readonly from: string
  readonly to: string
  readonly verify?: true
}

export function addMigrateCommand(program: Command, io: Io): void {
  program
    .command('migrate')
    .description('Copy a store, which may be in use meanwhile, to other stores, or what they lack.')
    .requiredOption('--from <stores>', 'the stores that there are')
    .requiredOption('--to <stores>', 'where they are copied: empty, or what a former run has made')
    .option('--verify', 'read what a former run has copied, and copy again what is damaged')
    .addHelpText('after', help)
    .action((options: MigrateOptions) =>
      interruptible(
        io,
        (signal) => migrateStore(options, io, signal),
        'Stopped. Run it again to go on.',
      ),
    )
}

const help = `
Stores are a data folder, or the URLs of rows and bytes as in COFFER_METADATA_URL and
COFFER_BLOBS_URL, with a comma between. In place of a URL, @FILE names a file that holds
it, so that no password shows in the list of processes:
  coffer migrate --from /var/lib/coffer --to @metadata-url,@blobs-url
  coffer migrate --from postgres://coffer@db/coffer,s3://bucket/ --to ./coffer-data
It ends with 0 when both are the same. Run it a last time with COFFER_READ_ONLY=true on
the old servers.`

async function migrateStore(options: MigrateOptions, io: Io, signal: AbortSignal): Promise<void> {
  const { openMigrationSource, openMigrationTarget, migrate } = await import('@coffer/server/tools')
  const [from, to] = [await readStores('--from', options), await readStores('--to', options)]
  requireApart(from, to)
  const progress = showProgress(io)
  const bars = showSteps(progress)
  try {
    await using source = await openMigrationSource(from)
    await using target = await openMigrationTarget(to, (message) => progress.note(message))
    const verify = options.verify === true
    const made = await migrate(source, target, { signal, verify, begin: bars.begin })
    bars.done()
    const { files, bytes, copied, lost } = made
    const what = `${count(files, 'file')}, ${size(bytes)}; ${size(copied)} copied now`
    progress.print(`${printable(target.name)}: ${what}\n`)
    for (const { holder, what: why } of lost) progress.note(`Not copied: ${holder}: ${why}.`)
    requireSame(made)
  } finally {
    bars.done()
    progress.end()
  }
}

async function readStores(option: '--from' | '--to', options: MigrateOptions): Promise<StorePair> {
  const { readStorePair, StorePairError } = await import('@coffer/server/tools')
  try {
    return readStorePair(option === '--from' ? options.from : options.to)
  } catch (error) {
    if (!(error instanceof StorePairError)) throw error
    throw new WrongUse(`${option}: ${error.message}. See coffer migrate --help.`)
  }
}

/** One step after the other, each with a bar. */
function showSteps(progress: Progress) {
  let bar: FileProgress | undefined
  const done = () => {
    bar?.done()
    bar = undefined
  }
  return {
    begin(step: MigrationStep) {
      done()
      const begun = progress.begin(
        step,
        step === 'rows' || step === 'comparison' ? 'rows' : 'bytes',
      )
      bar = begun
      return begun.moved
    },
    done,
  }
}

/** Bytes that both would have would be swept by the one as not its own. */
function requireApart(from: StorePair, to: StorePair): void {
  const isSame = (left: unknown, right: unknown) => JSON.stringify(left) === JSON.stringify(right)
  if (isSame(from.metadata, to.metadata) || isSame(from.blobs, to.blobs)) {
    throw new WrongUse(
      '--from and --to name the same place. Rows and bytes move together, each to another place.',
    )
  }
}

/** @throws Failure that says what is left to do. */
function requireSame({ since, lost }: Migrated): void {
  const left: string[] = []
  if (since.isAny) {
    const files = since.came + since.went
    const changes = `: ${count(since.came, 'file')} came, ${count(since.went, 'file')} went`
    left.push(
      `The copy is whole, and the source has changed meanwhile${files === 0 ? '' : changes}. ` +
        'Run it again, the last time with COFFER_READ_ONLY=true on its servers.',
    )
  }
  if (lost.length > 0) {
    left.push(
      `The bytes of ${count(lost.length, 'file')} are not copied, as the source lacks them: bring them back ` +
        'and run it again, or delete these files.',
    )
  }
  if (left.length > 0) throw new Failure(left.join(' '))
}
