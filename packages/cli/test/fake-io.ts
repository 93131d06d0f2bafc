/** What `run` touches, in memory: to be given words on standard input, and read afterwards. */

import { EventEmitter } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import type { Io } from '../src/program.ts'
import { run } from '../src/run.ts'

export interface FakeOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  /** What is piped in; nothing by default. */
  readonly stdin?: string | Readable
  /** Makes standard output a terminal of this width. */
  readonly columns?: number
}

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface FakeIo extends Io {
  emit(event: 'SIGINT' | 'SIGTERM'): boolean
  listenerCount(event: 'SIGINT' | 'SIGTERM'): number
  readonly written: { stdout: string; stderr: string }
}

export function fakeIo({ env = {}, stdin = '', columns }: FakeOptions = {}): FakeIo {
  const written = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') =>
    new PassThrough().setEncoding('utf8').on('data', (text: string) => {
      written[name] += text
    })
  const stdout = Object.assign(stream('stdout'), { isTTY: columns !== undefined, columns })
  return Object.assign(new EventEmitter(), {
    env,
    stdin:
      typeof stdin === 'string'
        ? Readable.from([Buffer.from(stdin)], { objectMode: false })
        : stdin,
    stdout,
    stderr: stream('stderr'),
    written,
  })
}

/** Runs `coffer` with these arguments to its end. */
export async function runFake(
  args: readonly string[],
  options: FakeOptions = {},
): Promise<Outcome> {
  const io = fakeIo(options)
  const code = await run(args, io)
  return { code, ...io.written }
}
