/** `coffer fsck`: holds rows against bytes, and mends what can be mended without a loss. */

import type { Fault, Report } from '@coffer/server/tools'
import type { Command } from 'commander'
import { interruptible } from './interruptible.ts'
import { jsonLine, printable } from './printable.ts'
import { Failure, type Io } from './program.ts'
import { showProgress } from './progress.ts'
import { duration, size } from './readable.ts'
import { addStoreOption, findStore, type StoreOption } from './store-option.ts'

interface FsckOptions extends StoreOption {
  readonly repair?: true
  readonly json?: true
}

export function addFsckCommand(program: Command, io: Io): void {
  addStoreOption(program.command('fsck'))
    .description('Find what is wrong with a store; it may be in use meanwhile.')
    .option('--repair', 'mend what loses nothing, with the server stopped')
    .option('--json', 'print the report as one line of JSON')
    .action((options: FsckOptions) =>
      interruptible(io, (signal) => checkStore(options, io, signal)),
    )
}

async function checkStore(options: FsckOptions, io: Io, signal: AbortSignal): Promise<void> {
  const places = await findStore(options, io)
  const { fsck, fsckAndRepair } = await import('@coffer/server/tools')
  const progress = showProgress(io)
  const print = (report: Report) =>
    progress.print(options.json === true ? jsonLine(report) : toLines(report))
  const bar = progress.begin('fsck')
  const looking = { signal, moved: bar.moved }
  let report: Report
  try {
    report = options.repair
      ? await fsckAndRepair(places, print, looking)
      : await fsck(places, looking)
  } finally {
    bar.done()
    progress.end()
  }
  print(report)
  const { length } = report.faults
  if (length === 0) return
  const faults = length === 1 ? '1 fault is' : `${length} faults are`
  throw new Failure(
    options.repair === true
      ? `${faults} left that cannot be mended without a loss; see docs/cli.md.`
      : `${faults} there; with the server stopped, coffer fsck --repair mends what loses nothing.`,
  )
}

function toLines({ files, bytes, loose, orphans, faults }: Report): string {
  const lines = [
    ...faults.map((fault) => printable(describe(fault))),
    `${files} files, ${size(bytes)}; ${loose} loose blobs; ${orphans.count} orphans, ` +
      `${size(orphans.bytes)}, of which ${orphans.quarantined} quarantined; ${faults.length} faults`,
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function describe(fault: Fault): string {
  const { kind } = fault
  switch (kind) {
    case 'database':
      return `${kind}: ${fault.path}: ${fault.message}`
    case 'mark':
      return `${kind}: ${fault.message}`
    case 'dangling':
      return `${kind}: ${fault.file}: the bytes of its blob ${fault.blob} are missing`
    case 'mismatching':
      return (
        `${kind}: ${fault.file}: its blob ${fault.blob} has ${fault.found} bytes, ` +
        `not ${fault.expected}`
      )
    case 'missized':
      return `${kind}: ${fault.file}: its blobs make up ${fault.found} bytes, not ${fault.expected}`
    case 'damaged':
      return `${kind}: ${fault.file}: found to be damaged ${age(fault.since)} ago`
    case 'held-and-loose':
      return `${kind}: ${fault.file}: its blob ${fault.blob} is listed for removal, too`
    case 'miscounted':
      return (
        `${kind}: ${fault.organization}: its usage is counted as ${fault.counted} bytes, ` +
        `and its files have ${fault.found}`
      )
    case 'overdue':
      return `${kind}: the orphan ${fault.blob} should be removed by now: does the server run?`
    case 'many-orphans':
      return (
        `${kind}: ${fault.orphans} blobs that begin with ${fault.prefix} have no row; none is ` +
        'removed, as rows may be lost'
      )
    case 'stranger':
      return `${kind}: ${fault.path} is no blob, and stands among them`
    default:
      return kind satisfies never
  }
}

function age(since: number): string {
  return duration(Date.now() / 1000 - since)
}
