/** `coffer export`: writes all files of a project to a folder or a tar. */

import { FilesApi, type OpenAIFile } from '@coffer/client'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { isGone, listEveryFile } from './every-file.ts'
import { exportToFolder } from './export-folder.ts'
import { exportToTar, exportToTarFile } from './export-tar.ts'
import type { ExportedFile } from './exported-file.ts'
import { sentenceOf, unfinished } from './failures.ts'
import { interruptible } from './interruptible.ts'
import { jsonLine, printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'
import { type FileProgress, showProgress } from './progress.ts'
import { count, size } from './readable.ts'

interface ExportOptions extends ConnectionOptions {
  readonly json?: true
}

export interface ExportNeeds {
  readonly files: FilesApi
  readonly signal: AbortSignal
  readonly tell: {
    exported(file: ExportedFile): void
    wasThere(): void
    failed(file: OpenAIFile, error: unknown): Promise<void>
  }
  begin(name: string): FileProgress
}

export function addExportCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('export'))
    .description('Write all files of a project to a folder or a tar, with a manifest.')
    .argument('<destination>', 'a folder, made if missing; a name that ends in .tar; or -')
    .option('--json', 'print the line of the manifest for each file')
    .addHelpText(
      'after',
      '\nThe bytes of each file lie in files/ID/NAME. Each line of manifest.jsonl has a File as the\n' +
        'server gave it, and the path, size and SHA-256 of its bytes. An export to a folder that\n' +
        'broke off goes on where it was. A tar may go to standard output, to be compressed there:\n' +
        '  coffer export - | gzip > project.tar.gz',
    )
    .action((destination: string, options: ExportOptions) => {
      const isTar = destination === '-' || destination.endsWith('.tar')
      const notice = isTar
        ? 'Stopped. There is no tar.'
        : 'Stopped; the same command goes on from here.'
      return interruptible(io, (signal) => exportFiles(destination, options, io, signal), notice)
    })
}

async function exportFiles(
  destination: string,
  { json, ...connection }: ExportOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const isOutput = destination === '-'
  if (isOutput && io.stdout.isTTY === true) {
    throw new WrongUse(
      'A tar is nothing for a terminal; give a name, or read it: coffer export - | …',
    )
  }
  if (/\.(tar\.\w+|t[gx]z|zip)$/i.test(destination)) {
    throw new WrongUse(
      `A tar is not compressed here; do so as it comes: coffer export - | gzip > ${printable(destination)}`,
    )
  }
  const files = new FilesApi(connect(connection, io))
  const progress = showProgress(io)
  const sum = { exported: 0, bytes: 0, there: 0, failed: 0 }
  const needs: ExportNeeds = {
    ...{ files, signal, begin: progress.begin },
    tell: {
      exported(file) {
        sum.exported += 1
        sum.bytes += file.bytes
        if (isOutput) return
        const line = `${printable(file.file.id)}  ${printable(file.path)}\n`
        progress.print(json ? jsonLine(file) : line)
      },
      wasThere() {
        sum.there += 1
      },
      async failed({ id }, error) {
        const gone = await isGone(files, id, error, signal)
        if (!gone) sum.failed += 1
        const what = gone ? 'It was deleted meanwhile.' : sentenceOf(error)
        progress.note(`Not exported: ${printable(id)}: ${what}`)
      },
    },
  }
  try {
    const { files: all, unlisted } = await listEveryFile(files, signal)
    if (isOutput) await exportToTar(io.stdout, all, needs, { end: false })
    else if (destination.endsWith('.tar')) await exportToTarFile(destination, all, needs)
    else await exportToFolder(destination, all, needs)
    if (unlisted > 0) {
      sum.failed += unlisted
      progress.note(
        `Not exported: ${count(unlisted, 'file')} that the server counts and does not list.`,
      )
    }
  } finally {
    progress.end()
  }
  if (sum.failed > 0) throw unfinished(sum.exported + sum.there, sum.failed, 'exported')
  const there = sum.there > 0 ? `, and ${count(sum.there)} there already` : ''
  io.stderr.write(`${count(sum.exported, 'file')} exported, ${size(sum.bytes)}${there}.\n`)
}
