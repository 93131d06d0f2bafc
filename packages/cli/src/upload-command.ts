/** `coffer upload`: sends files, folders, patterns and standard input. */

import type { FilesApi, OpenAIFile, Uploadable } from '@coffer/client'
import { fileFromPath } from '@coffer/client/node'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { sentenceOf } from './failures.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
import { Failure, type Io, WrongUse } from './program.ts'
import { type Progress, showProgress } from './progress.ts'
import { printable } from './table.ts'
import { type Found, findFiles } from './upload-paths.ts'

interface UploadOptions extends ConnectionOptions {
  readonly purpose: string
  readonly name?: string
  readonly expiresAfter?: string
  readonly parallel: string
  readonly json?: true
}

export function addUploadCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('upload'))
    .description('Upload files, folders with all below them, patterns, or - for standard input.')
    .argument('<paths...>', 'what to upload')
    .option('-p, --purpose <purpose>', 'what the files are for', 'user_data')
    .option('-n, --name <name>', 'the name of a single file; standard input has none of its own')
    .option('--expires-after <seconds>', 'when the server forgets the files, 3600 to 2592000')
    .option('--parallel <count>', 'how many files are sent at once', '8')
    .option('--json', 'print each file as a line of JSON')
    .addHelpText(
      'after',
      '\nPrints the id and name of each file, for people and for the next command:\n' +
        '  coffer upload reports/ | coffer download -\n' +
        'Below a folder, hidden files and links are skipped.',
    )
    .action((paths: string[], options: UploadOptions) =>
      interruptible(io, (signal) => upload(paths, options, io, signal)),
    )
}

async function upload(
  paths: readonly string[],
  options: UploadOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const files = connect(options, io)
  const width = toCount(options.parallel, '--parallel')
  if (options.name !== undefined && paths.length > 1) {
    throw new WrongUse('--name names one file, and there are several.')
  }
  const progress = showProgress(io.stderr)
  let failures = 0
  let sent = 0
  try {
    await inParallel(findFiles(paths), width, signal, async (found) => {
      if (found.skipped !== undefined) {
        progress.log(`Skipped ${printable(found.path)}: ${found.skipped}.`)
        if (found.isFailure) failures += 1
        return
      }
      try {
        const file = await send(files, found, options, io, progress, signal)
        sent += 1
        io.stdout.write(options.json ? `${JSON.stringify(file)}\n` : lineOf(file))
      } catch (error) {
        signal.throwIfAborted()
        failures += 1
        progress.log(`Not uploaded: ${printable(found.path)}: ${sentenceOf(error)}`)
      }
    })
  } finally {
    progress.end()
  }
  if (failures > 0) throw new Failure(`${sent} uploaded, ${failures} not.`)
}

async function send(
  files: FilesApi,
  { path }: Found,
  { purpose, name, expiresAfter }: UploadOptions,
  { stdin }: Io,
  progress: Progress,
  signal: AbortSignal,
): Promise<OpenAIFile> {
  const content: Uploadable = path === '-' ? stdin : await fileFromPath(path)
  const shown = progress.begin(name ?? path)
  try {
    return await files.createFile(content, purpose, {
      signal,
      filename: name ?? (path === '-' ? 'stdin' : undefined),
      expiresAfterSeconds:
        expiresAfter === undefined ? undefined : toCount(expiresAfter, '--expires-after'),
      onProgress: shown.moved,
    })
  } finally {
    shown.done()
  }
}

function lineOf({ id, filename }: OpenAIFile): string {
  return `${id}  ${printable(filename)}\n`
}

function toCount(text: string, option: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new WrongUse(`${option} takes a whole number.`)
  return count
}
