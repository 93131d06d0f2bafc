/** `coffer upload`: sends files, folders, patterns and standard input. */

import { readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { ApiException, FilesApi, type OpenAIFile, UploadsApi } from '@coffer/client'
import { fileFromPath } from '@coffer/client/node'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { sentenceOf, unfinished } from './failures.ts'
import { faultLines } from './fault-lines.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
import { largeBytes, uploadLarge } from './large-upload.ts'
import { jsonLine, printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'
import { type FileProgress, showProgress } from './progress.ts'
import { type Found, findFiles } from './upload-paths.ts'
import { createUploadStates } from './upload-states.ts'

/** What is no larger is read at once. */
const smallBytes = 64 * 1024

/** Of the faults of a file that is refused, how many are shown. */
const mostFaults = 10

interface UploadOptions extends ConnectionOptions {
  readonly purpose: string
  readonly name?: string
  readonly expiresAfter?: string
  readonly parallel: string
  readonly resume?: true
  readonly json?: true
}

export function addUploadCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('upload'))
    .description('Upload files, folders with all below them, patterns, or - for standard input.')
    .argument('<paths...>', 'files, folders, patterns as in quotes: "reports/*.txt", or -')
    .option(
      '-p, --purpose <purpose>',
      'what the files are for: assistants, batch, evals, fine-tune, user_data or vision',
      'user_data',
    )
    .option('-n, --name <name>', 'the name of a single file; standard input has none of its own')
    .option('--expires-after <seconds>', 'when the server forgets the files, 3600 to 2592000')
    .option('--parallel <count>', 'how many files are sent at once', '16')
    .option('--resume', 'send the rest of large files that broke off')
    .option('--json', 'print each file as a line of JSON')
    .addHelpText(
      'after',
      '\nPrints the id and name of each file, for people and for the next command:\n' +
        '  coffer upload reports/ | coffer show -\n' +
        'Below a folder, hidden files and links are skipped. Files keep their names, without the\n' +
        'folders that they are in. A file that is meant twice is sent once. A file above 64 MiB\n' +
        'goes in parts; when that breaks off, the same command with --resume sends the rest.',
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
  const client = connect(options, io)
  const files = new FilesApi(client)
  const width = toCount(options.parallel, '--parallel')
  const { expiresAfter } = options
  const expiresAfterSeconds =
    expiresAfter === undefined ? undefined : toCount(expiresAfter, '--expires-after')
  const found = options.name === undefined ? findFiles(paths) : await findOnly(paths)
  const progress = showProgress(io)
  const large = {
    ...{ files, uploads: new UploadsApi(client), states: createUploadStates(io.env) },
    ...{ resume: options.resume === true, note: progress.note },
  }
  let failures = 0
  let sent = 0

  async function send(path: string, onProgress: FileProgress['moved']): Promise<OpenAIFile> {
    const { purpose, name } = options
    const filename = name ?? (path === '-' ? 'stdin' : basename(path))
    const about = { filename, expiresAfterSeconds, onProgress, signal }
    if (path === '-') return files.createFile(io.stdin, purpose, about)
    const facts = statSync(path)
    const bytes = facts.isFile() ? facts.size : undefined
    // Four calls of another thread take much longer than the reading of so little.
    if (bytes !== undefined && bytes <= smallBytes) {
      return files.createFile(readFileSync(path), purpose, about)
    }
    const source = await fileFromPath(path)
    if (bytes === undefined || bytes <= largeBytes) return files.createFile(source, purpose, about)
    const { host } = client.configuration
    const key = { host, path: resolve(path), purpose, filename, expiresAfterSeconds }
    return uploadLarge(large, { path, key, source }, { onProgress, signal })
  }

  try {
    await inParallel(found, width, signal, async (item) => {
      const { path } = item
      if (item.skipped !== undefined) {
        const isFailure = item.isFailure === true
        const what = isFailure ? 'Not uploaded' : 'Skipped'
        progress.note(`${what}: ${printable(path)}: ${item.skipped}`)
        if (isFailure) failures += 1
        return
      }
      const shown = progress.begin(options.name ?? (path === '-' ? 'stdin' : path))
      try {
        const file = await send(path, shown.moved)
        sent += 1
        progress.print(options.json ? jsonLine(file) : lineOf(file))
      } catch (error) {
        signal.throwIfAborted()
        failures += 1
        const lines = [`Not uploaded: ${printable(path)}: ${sentenceOf(error)}`]
        progress.note([...lines, ...faultsOf(path, error)].join('\n'))
      } finally {
        shown.done()
      }
    })
  } finally {
    progress.end()
  }
  if (failures > 0) throw unfinished(sent, failures, 'uploaded')
}

/** @throws WrongUse if a single name would be given to several files. */
async function findOnly(paths: readonly string[]): Promise<Found[]> {
  const found = await Array.fromAsync(findFiles(paths))
  if (found.filter(({ skipped }) => skipped === undefined).length <= 1) return found
  throw new WrongUse('There are several files, and --name can name only one; leave it out.')
}

function lineOf({ id, filename }: OpenAIFile): string {
  return `${printable(id)}  ${printable(String(filename ?? ''))}\n`
}

/** All that is wrong with content that was refused, unless the sentence has said it. */
function faultsOf(path: string, error: unknown): string[] {
  if (!(error instanceof ApiException) || error.detailsTotal < 2) return []
  const { details, detailsTotal: total } = error
  return faultLines(path, { details, total }, mostFaults)
}

function toCount(text: string, option: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) {
    throw new WrongUse(`${option} takes a whole number from 1 on.`)
  }
  return count
}
