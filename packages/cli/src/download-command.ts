/** `coffer download`: fetches files, each whole under its name or not at all. */

import { mkdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { FilesApi } from '@coffer/client'
import { downloadToFile } from '@coffer/client/node'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { codeOf, sentenceOf, unfinished } from './failures.ts'
import { readFileIds } from './file-ids.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
import { toName } from './local-name.ts'
import { printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'
import { showProgress } from './progress.ts'

interface DownloadOptions extends ConnectionOptions {
  readonly output?: string
  readonly force?: true
}

export function addDownloadCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('download'))
    .description('Download files under their names. One that broke off goes on where it was.')
    .argument('<ids...>', 'ids of files, or - to read them from standard input')
    .option(
      '-o, --output <path>',
      'a folder (one that ends with / is made), the name for a single file, or - for standard output',
    )
    .option('-f, --force', 'replace files that are there')
    .addHelpText(
      'after',
      '\nPrints the id and path of each file. Of files with the same name, the first keeps it, and\n' +
        'the id is put before that of the others:\n' +
        '  coffer list --all | coffer download - --output there/',
    )
    .action((ids: string[], options: DownloadOptions) =>
      interruptible(
        io,
        (signal) => download(ids, options, io, signal),
        'Stopped; the same command goes on from here.',
      ),
    )
}

async function download(
  given: readonly string[],
  options: DownloadOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const files = new FilesApi(connect(options, io))
  const ids = await readFileIds(given, io)
  const { output = '.', force } = options
  if (output === '-') return toStandardOutput(files, ids, io, signal)
  const isFolder = await isFolderOrMade(output)
  if (!isFolder && ids.length > 1) {
    throw new WrongUse('Several files need a folder; end --output with / to make one.')
  }
  const wanted: Iterable<Wanted> | AsyncIterable<Wanted> = isFolder
    ? inFolder(files, ids, output, signal)
    : ids.map((id) => ({ id, path: output }))
  const progress = showProgress(io)
  let failures = 0
  try {
    await inParallel(wanted, 4, signal, async ({ id, path, error }) => {
      const shown = progress.begin(basename(path))
      try {
        if (error !== undefined) throw error
        await downloadToFile(files, id, path, { signal, overwrite: force, onProgress: shown.moved })
        progress.print(`${printable(id)}  ${printable(path)}\n`)
      } catch (problem) {
        signal.throwIfAborted()
        failures += 1
        progress.note(`Not downloaded: ${printable(id)}: ${explain(problem, path)}`)
      } finally {
        shown.done()
      }
    })
  } finally {
    progress.end()
  }
  if (failures > 0) throw unfinished(ids.length - failures, failures, 'downloaded')
}

function explain(problem: unknown, path: string): string {
  if (codeOf(problem) !== 'EEXIST') return sentenceOf(problem)
  return `${printable(path)} is there already; replace it with --force, or give another --output.`
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

interface Wanted {
  readonly id: string
  readonly path: string
  /** Why nothing is known of the file. */
  readonly error?: unknown
}

/** Gives each file a path of its own in the folder, the same at every call. */
async function* inFolder(
  files: FilesApi,
  ids: readonly string[],
  folder: string,
  signal: AbortSignal,
): AsyncGenerator<Wanted> {
  const taken = new Set<string>()
  for (const id of ids) {
    try {
      const { filename } = await files.retrieveFile(id, { signal })
      const name = toName(String(filename ?? ''), id)
      // Some disks take names that differ only so for the same.
      const key = name.normalize('NFC').toLowerCase()
      const path = join(folder, taken.has(key) ? `${toName(id, 'file')}-${name}` : name)
      taken.add(key)
      yield { id, path }
    } catch (error) {
      signal.throwIfAborted()
      yield { id, path: folder, error }
    }
  }
}

async function isFolderOrMade(path: string): Promise<boolean> {
  if (path.endsWith('/')) await mkdir(path, { recursive: true })
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}
