/** `coffer delete`: deletes files, after asking where someone can answer. */

import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { FilesApi } from '@coffer/client'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { sentenceOf, unfinished } from './failures.ts'
import { readFileIds } from './file-ids.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
import { printable } from './printable.ts'
import { Failure, type Io, WrongUse } from './program.ts'

interface DeleteOptions extends ConnectionOptions {
  readonly yes?: true
}

export function addDeleteCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('delete'))
    .description('Delete files. There is no way back.')
    .argument('<ids...>', 'ids of files, or - to read them from standard input')
    .option('-y, --yes', 'do not ask')
    .action((ids: string[], options: DeleteOptions) =>
      interruptible(io, (signal) => deleteFiles(ids, options, io, signal)),
    )
}

async function deleteFiles(
  given: readonly string[],
  options: DeleteOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const files = new FilesApi(connect(options, io))
  // Where the ids come from standard input, no answer can.
  if (options.yes !== true && (io.stdin.isTTY !== true || given.includes('-'))) {
    throw new WrongUse('Nobody can be asked here; give --yes to delete without a question.')
  }
  const ids = await readFileIds(given, io)
  if (options.yes !== true && !(await confirm(ids, io, signal))) {
    throw new Failure('Nothing was deleted.')
  }
  let failures = 0
  await inParallel(ids, 8, signal, async (id) => {
    try {
      await files.deleteFile(id, { signal })
      io.stdout.write(`${printable(id)}\n`)
    } catch (error) {
      signal.throwIfAborted()
      failures += 1
      io.stderr.write(`Not deleted: ${printable(id)}: ${sentenceOf(error)}\n`)
    }
  })
  if (failures > 0) throw unfinished(ids.length - failures, failures, 'deleted')
}

async function confirm(
  ids: readonly string[],
  { stdin, stderr }: Io,
  signal: AbortSignal,
): Promise<boolean> {
  // Not as a line editor, which would take Ctrl-C for itself.
  using lines = createInterface({ input: stdin, output: stderr, terminal: false })
  const [only = ''] = ids
  const what = ids.length === 1 ? printable(only) : `these ${ids.length} files`
  const answer = await Promise.race([
    lines.question(`Delete ${what} for good? [y/N] `, { signal }).catch(() => undefined),
    // Ctrl-D answers nothing.
    once(lines, 'close').then(() => undefined),
  ])
  if (answer === undefined) stderr.write('\n')
  signal.throwIfAborted()
  return /^y(es)?$/i.test((answer ?? '').trim())
}
