/** `coffer list`: a table of files, the newest first. */

import type { OpenAIFile } from '@coffer/client'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { interruptible } from './interruptible.ts'
import { type Io, WrongUse } from './program.ts'
import { duration, size } from './readable.ts'
import { type Column, formatTable } from './table.ts'

interface ListOptions extends ConnectionOptions {
  readonly purpose?: string
  readonly limit: string
  readonly order: string
  readonly after?: string
  readonly all?: true
  readonly json?: true
}

export function addListCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('list'))
    .description('List files, the newest first.')
    .option('-p, --purpose <purpose>', 'only files with this purpose')
    .option('-l, --limit <count>', 'how many files at the most, or on a page with --all', '100')
    .option('--order <order>', 'asc or desc, by the time of creation', 'desc')
    .option('--after <id>', 'begin behind this file')
    .option('-a, --all', 'every file, page after page')
    .option('--json', 'print each file as a line of JSON')
    .action((options: ListOptions) => interruptible(io, (signal) => list(options, io, signal)))
}

async function list(options: ListOptions, io: Io, signal: AbortSignal): Promise<void> {
  const files = connect(options, io)
  const { purpose, after, all } = options
  const limit = Number(options.limit)
  if (!Number.isInteger(limit) || limit < 1) throw new WrongUse('--limit takes a whole number.')
  if (options.order !== 'asc' && options.order !== 'desc') {
    throw new WrongUse('--order takes asc or desc.')
  }
  for (let cursor = after, isFirst = true; ; isFirst = false) {
    const page = await files.listFiles({
      purpose,
      limit,
      order: options.order,
      after: cursor,
      signal,
    })
    io.stdout.write(options.json ? toJsonLines(page.data) : toTable(page.data, io, isFirst))
    const last = page.data.at(-1)?.id
    if (page.has_more !== true || last === undefined || last === cursor) return
    cursor = last
    if (all) continue
    if (!options.json) io.stderr.write(`There are more: --after ${last}, or --all.\n`)
    return
  }
}

const columns: Column[] = [
  { title: 'ID' },
  { title: 'NAME', gives: true },
  { title: 'PURPOSE' },
  { title: 'SIZE', align: 'right' },
  { title: 'AGE', align: 'right' },
]

function toTable(files: readonly OpenAIFile[], { stdout, stderr }: Io, isFirst: boolean): string {
  if (files.length === 0) {
    if (isFirst) stderr.write('There are no files.\n')
    return ''
  }
  const now = Date.now() / 1000
  const rows = files.map(({ id, filename, purpose, bytes, created_at }) => [
    id,
    filename,
    purpose,
    size(bytes),
    duration(now - created_at),
  ])
  const table = formatTable(columns, rows, stdout.isTTY ? stdout.columns : undefined)
  return isFirst ? table : table.slice(table.indexOf('\n') + 1)
}

function toJsonLines(files: readonly OpenAIFile[]): string {
  return files.map((file) => `${JSON.stringify(file)}\n`).join('')
}
