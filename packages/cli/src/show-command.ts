/** `coffer show`: all that is known about files. */

import { FilesApi, type OpenAIFile } from '@coffer/client'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { sentenceOf, unfinished } from './failures.ts'
import { readFileIds } from './file-ids.ts'
import { interruptible } from './interruptible.ts'
import { jsonLine, printable } from './printable.ts'
import type { Io } from './program.ts'
import { duration, size } from './readable.ts'

interface ShowOptions extends ConnectionOptions {
  readonly json?: true
}

export function addShowCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('show'))
    .description('Show what is known about files.')
    .argument('<ids...>', 'ids of files, or - to read them from standard input')
    .option('--json', 'print each file as a line of JSON')
    .action((ids: string[], options: ShowOptions) =>
      interruptible(io, async (signal) => {
        const files = new FilesApi(connect(options, io))
        const all = await readFileIds(ids, io)
        let shown = 0
        for (const id of all) {
          try {
            const file = await files.retrieveFile(id, { signal })
            if (shown > 0 && !options.json) io.stdout.write('\n')
            io.stdout.write(options.json ? jsonLine(file) : describe(file))
            shown += 1
          } catch (error) {
            signal.throwIfAborted()
            io.stderr.write(`Not shown: ${printable(id)}: ${sentenceOf(error)}\n`)
          }
        }
        if (shown < all.length) throw unfinished(shown, all.length - shown, 'shown')
      }),
    )
}

function describe(file: OpenAIFile): string {
  const { id, filename, purpose, bytes, created_at, expires_at, status, status_details } = file
  const now = Date.now() / 1000
  const facts = {
    id,
    name: filename,
    purpose,
    size: `${size(bytes)} (${bytes} bytes)`,
    created: `${when(created_at)} (${duration(now - created_at)} ago)`,
    expires: expires_at ? `${when(expires_at)} (in ${duration(expires_at - now)})` : 'never',
    status: status_details ? `${status}: ${status_details}` : status,
  }
  const lines = Object.entries(facts).map(
    ([name, value]) => `${`${name}:`.padEnd(10)}${printable(String(value ?? 'unknown'))}\n`,
  )
  return lines.join('')
}

function when(seconds: number): string {
  const date = new Date(seconds * 1000)
  if (Number.isNaN(date.valueOf())) return 'unknown'
  return date.toISOString().replace('T', ' ').replace('.000Z', ' UTC')
}
