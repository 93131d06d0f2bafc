/** `coffer list`: a table of files, the newest first. */

import { FilesApi, type OpenAIFile } from '@coffer/client'
import { type Command, Option } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { interruptible } from './interruptible.ts'
import { jsonLine, printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'
import { duration, size } from './readable.ts'
import type { Column } from './table.ts'

interface ListOptions extends ConnectionOptions {
  readonly purpose?: string
  readonly limit: string
  readonly order: 'asc' | 'desc'
  readonly after?: string
  readonly all?: true
  readonly json?: true
}

export function addListCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('list'))
    .description('List files, the newest first.')
    .option('-p, --purpose <purpose>', 'only files with this purpose')
    .option('-l, --limit <count>', 'how many files at the most, or on a page with --all', '100')
    .addOption(
      new Option('--order <order>', 'by the time of creation')
        .choices(['asc', 'desc'])
        .default('desc'),
    )
    .option('--after <id>', 'only what comes behind this file')
    .option('-a, --all', 'every file, page after page')
    .option('--json', 'print each file as a line of JSON')
    .action((options: ListOptions) => interruptible(io, (signal) => list(options, io, signal)))
}

async function list(options: ListOptions, io: Io, signal: AbortSignal): Promise<void> {
  const files = new FilesApi(connect(options, io))
  const { purpose, order, after, all, json } = options
  const limit = Number(options.limit)
  if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
    throw new WrongUse('--limit takes a whole number from 1 to 10000.')
  }
  const shown: OpenAIFile[] = []
  let next = after
  let hasMore = true
  do {
    const page = await files.listFiles({ purpose, limit, order, after: next, signal })
    if (json) io.stdout.write(page.data.map(jsonLine).join(''))
    else shown.push(...page.data)
    const last = page.data.at(-1)?.id
    // Servers that do not page leave `has_more` out, and would send the same again.
    hasMore = page.has_more === true && last !== undefined && last !== next
    next = last
  } while (all && hasMore)
  if (json) return
  // Only when all is there: the columns of the last page are as wide as those of the first.
  if (shown.length > 0) io.stdout.write(await toTable(shown, io))
  else io.stderr.write('There are no files.\n')
  if (hasMore) {
    io.stderr.write(`There are more; see them with --after ${printable(next ?? '')}, or --all.\n`)
  }
}

const columns: Column[] = [
  { title: 'ID' },
  { title: 'NAME', gives: true, spare: 1 },
  { title: 'PURPOSE', spare: 4 },
  { title: 'SIZE', align: 'right', spare: 2 },
  { title: 'AGE', align: 'right', spare: 3 },
]

async function toTable(files: readonly OpenAIFile[], { stdout }: Io): Promise<string> {
  // What measures text takes long to load, so it waits until the answer is there.
  const { formatTable } = await import('./table.ts')
  const now = Date.now() / 1000
  const rows = files.map(({ id, filename, purpose, bytes, created_at }) => [
    id,
    String(filename ?? ''),
    String(purpose ?? ''),
    size(bytes),
    duration(now - created_at),
  ])
  return formatTable(columns, rows, stdout.isTTY ? stdout.columns : undefined)
}
