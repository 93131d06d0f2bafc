/** `coffer download`: fetches files, each whole under its name or not at all. */

import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { FilesApi } from '@coffer/client'
import { downloadToFile } from '@coffer/client/node'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { sentenceOf } from './failures.ts'
import { readFileIds } from './file-ids.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
import { Failure, type Io, WrongUse } from './program.ts'
import { type Progress, showProgress } from './progress.ts'
import { printable } from './table.ts'

interface DownloadOptions extends ConnectionOptions {
  readonly output?: string
  readonly force?: true
}

export function addDownloadCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('download'))
    .description('Download files under their names. One that broke off goes on where it was.')
    .argument('<ids...>', 'ids of files, or - to read them from standard input')
    .option('-o, --output <path>', 'a folder, the name for a single file, or - for standard output')
    .option('-f, --force', 'replace files that are there')
    .action((ids: string[], options: DownloadOptions) =>
      interruptible(io, (signal) => download(ids, options, io, signal)),
    )
}

async function download(
  given: readonly string[],
  options: DownloadOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const files = connect(options, io)
  const ids = await readFileIds(given, io)
  if (options.output === '-') return toStandardOutput(files, ids, io, signal)
  const isFolder = await isExistingFolder(options.output ?? '.')
  if (!isFolder && ids.length > 1) {
    throw new WrongUse(`Several files need a folder, and ${options.output} is none.`)
  }
  const progress = showProgress(io.stderr)
  let failures = 0
  try {
    await inParallel(ids, 4, signal, async (id) => {
      try {
        const path = isFolder
          ? join(options.output ?? '.', await nameOf(files, id, signal))
          : options.output
        await fetchOne(files, id, path ?? id, options, progress, signal)
        io.stdout.write(`${id}  ${printable(path ?? id)}\n`)
      } catch (error) {
        signal.throwIfAborted()
        failures += 1
        const hint = isErrno(error, 'EEXIST') ? ' Use --force to replace it, or --output.' : ''
        progress.log(`Not downloaded: ${printable(id)}: ${sentenceOf(error)}${hint}`)
      }
    })
  } finally {
    progress.end()
  }
  if (failures > 0) throw new Failure(`${ids.length - failures} downloaded, ${failures} not.`)
}

async function fetchOne(
  files: FilesApi,
  id: string,
  path: string,
  { force }: DownloadOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const shown = progress.begin(basename(path))
  try {
    await downloadToFile(files, id, path, { signal, overwrite: force, onProgress: shown.moved })
  } finally {
    shown.done()
  }
}

async function toStandardOutput(
  files: FilesApi,
  ids: readonly string[],
  { stdout }: Io,
  signal: AbortSignal,
): Promise<void> {
  for (const id of ids) {
    const content = await files.openFile(id, { signal })
    await pipeline(content, stdout, { end: false, signal })
  }
}

/** The server's name of the file, as a name in the folder and nowhere else. */
async function nameOf(files: FilesApi, id: string, signal: AbortSignal): Promise<string> {
  const { filename } = await files.retrieveFile(id, { signal })
  const name = filename.replace(/^.*[/\\]/s, '').replaceAll('\0', '')
  return name === '' || name === '.' || name === '..' ? id : name
}

async function isExistingFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
