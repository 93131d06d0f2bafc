/** `coffer delete`: deletes files, after asking where someone can answer. */

import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { sentenceOf } from './failures.ts'
import { readFileIds } from './file-ids.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
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
  const files = connect(options, io)
  const ids = await readFileIds(given, io)
  if (options.yes !== true && !(await confirm(ids.length, io, signal))) {
    throw new Failure('Nothing was deleted.')
  }
  let failures = 0
  await inParallel(ids, 8, signal, async (id) => {
    try {
      await files.deleteFile(id, { signal })
      io.stdout.write(`${id}\n`)
    } catch (error) {
      signal.throwIfAborted()
      failures += 1
      io.stderr.write(`Not deleted: ${id}: ${sentenceOf(error)}\n`)
    }
  })
  if (failures > 0) throw new Failure(`${ids.length - failures} deleted, ${failures} not.`)
}

/** @throws WrongUse where nobody can answer. */
async function confirm(
  count: number,
  { stdin, stderr }: Io,
  signal: AbortSignal,
): Promise<boolean> {
  if (stdin.isTTY !== true) throw new WrongUse('Give --yes to delete without being asked.')
  using terminal = createInterface({ input: stdin, output: stderr })
  const what = count === 1 ? 'this file' : `these ${count} files`
  const answer = await terminal.question(`Delete ${what} for good? [y/N] `, { signal })
  return /^y(es)?$/i.test(answer.trim())
}
