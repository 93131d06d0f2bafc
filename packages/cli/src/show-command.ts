/** `coffer show`: all that is known about files. */

import type { OpenAIFile } from '@coffer/client'
import type { Command } from 'commander'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { readFileIds } from './file-ids.ts'
import { interruptible } from './interruptible.ts'
import type { Io } from './program.ts'
import { duration, size } from './readable.ts'
import { printable } from './table.ts'

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
        const files = connect(options, io)
        for (const id of await readFileIds(ids, io)) {
          const file = await files.retrieveFile(id, { signal })
          io.stdout.write(options.json ? `${JSON.stringify(file)}\n` : describe(file))
        }
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
  return new Date(seconds * 1000).toISOString().replace('T', ' ').replace('.000Z', ' UTC')
}
