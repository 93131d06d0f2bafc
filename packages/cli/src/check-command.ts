/** `coffer check`: tells what an upload would find wrong with files, without a server. */

import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { FileCheck } from '@coffer/client'
import type { CheckOptions, FileChecks, openFileChecks } from '@coffer/server/tools'
import { type Command, Option } from 'commander'
import { sentenceOf, unfinished } from './failures.ts'
import { faultLines } from './fault-lines.ts'
import { interruptible } from './interruptible.ts'
import { jsonLine, printable } from './printable.ts'
import { Failure, type Io } from './program.ts'
import { type FileProgress, showProgress } from './progress.ts'
import { count, size } from './readable.ts'
import { findFiles } from './upload-paths.ts'

type Purpose = CheckOptions['purpose']
type Rules = NonNullable<Parameters<typeof openFileChecks>[0]>

const purposes: Purpose[] = ['assistants', 'batch', 'evals', 'fine-tune', 'user_data', 'vision']
const levels: Rules[] = ['full', 'strict', 'openai']

interface CheckFlags {
  readonly purpose: Purpose
  readonly rules: Rules
  readonly json?: true
}

export function addCheckCommand(program: Command, io: Io): void {
  program
    .command('check')
    .description('Find what is wrong with files before they are uploaded; needs no server.')
    .argument('<paths...>', 'files, folders, patterns as in quotes: "reports/*.txt", or -')
    .addOption(
      new Option('-p, --purpose <purpose>', 'what the files are for')
        .choices(purposes)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--rules <level>',
        'full: all that the use of a file would stumble on later; strict: also that shapes of ' +
          "training lines and batches' endpoints are known; openai: what the vendor refuses at the upload",
      )
        .choices(levels)
        .default('full'),
    )
    .option('--json', 'print what was found in each file as a line of JSON')
    .addHelpText(
      'after',
      '\nPrints a line for each file that is fine, and one for each fault of the others, of which\n' +
        'the first hundred are shown, as editors read them:\n' +
        '  coffer check train.jsonl --purpose fine-tune\n' +
        "  train.jsonl:7: Missing required parameter: 'messages[0].role'.\n" +
        'Below a folder, hidden files and links are skipped. Ends with 1 if a file has faults.',
    )
    .action((paths: string[], flags: CheckFlags) =>
      interruptible(io, (signal) => checkFiles(paths, flags, io, signal)),
    )
}

async function checkFiles(
  paths: readonly string[],
  { purpose, rules: contentRules, json }: CheckFlags,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const { openFileChecks } = await import('@coffer/server/tools')
  await using checks = openFileChecks(contentRules)
  const progress = showProgress(io)
  let checked = 0
  let unread = 0
  let faulty = 0
  let faults = 0

  try {
    // One after the other: what is told has the order of the files.
    for await (const item of findFiles(paths)) {
      signal.throwIfAborted()
      const { path } = item
      if (item.skipped !== undefined) {
        const isFailure = item.isFailure === true
        const what = isFailure ? 'Not checked' : 'Skipped'
        progress.note(`${what}: ${printable(path)}: ${item.skipped}`)
        if (isFailure) unread += 1
        continue
      }
      const name = path === '-' ? 'stdin' : path
      let bar = progress.begin(name)
      let read = 0
      const moved: FileProgress['moved'] = (bytes, total) => {
        if (bytes < read) {
          // It is read again, which takes another time.
          bar.done()
          bar = progress.begin(name)
        }
        read = bytes
        bar.moved(bytes, total)
      }
      try {
        const options = { purpose, moved, signal }
        const check = await checkContent(checks, path, options, io)
        checked += 1
        faults += check.details_total
        if (!check.valid) faulty += 1
        progress.print(json ? jsonLine({ path, ...check }) : toLines(path, check))
      } catch (error) {
        signal.throwIfAborted()
        unread += 1
        progress.note(`Not checked: ${printable(path)}: ${sentenceOf(error)}`)
      } finally {
        bar.done()
      }
    }
  } finally {
    progress.end()
  }
  if (faulty > 0) {
    const where = checked + unread === 1 ? '' : ` in ${count(faulty)} of ${count(checked, 'file')}`
    const rest = unread === 0 ? '' : `; ${count(unread)} not checked`
    throw new Failure(`${count(faults, 'fault')}${where}${rest}.`)
  }
  if (unread > 0) throw unfinished(checked, unread, 'checked')
}

/** What can be read only once, as a pipe, is kept meanwhile: some rules look at it again. */
async function checkContent(
  checks: FileChecks,
  path: string,
  options: CheckOptions,
  { stdin }: Io,
): Promise<FileCheck> {
  if (path !== '-' && (await stat(path)).isFile()) return checks.check(path, options)
  const folder = await mkdtemp(join(tmpdir(), 'coffer-check-'))
  try {
    const copy = join(folder, path === '-' ? 'stdin' : basename(path))
    const source = path === '-' ? stdin : createReadStream(path)
    await pipeline(source, createWriteStream(copy), { signal: options.signal })
    return await checks.check(copy, options)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function toLines(path: string, check: FileCheck): string {
  const { valid, details, details_total: total } = check
  const lines = valid
    ? [printable(`${path}: fine, ${factsOf(check)}`)]
    : faultLines(path, { details, total }, details.length)
  return lines.map((line) => `${line}\n`).join('')
}

function factsOf({ models, num_lines, mime_type, tokens, bytes }: FileCheck): string {
  const requests = Object.entries(models ?? {}).map(
    ([model, number]) => `${count(number, 'request')} of ${model}`,
  )
  const lines = num_lines === null ? mime_type : count(num_lines, 'line')
  const length = tokens === null ? size(bytes) : count(tokens, 'token')
  return [...(requests.length > 0 ? requests : [lines]), length].join(', ')
}
