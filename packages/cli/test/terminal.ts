/** The real program in a pseudo-terminal, and the screen as a person sees it. */

import { join } from 'node:path'
import { spawn } from '@lydell/node-pty'
import xterm from '@xterm/headless'
import { repository } from './start-coffer.ts'

export interface TerminalOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly columns?: number
  readonly rows?: number
  readonly folder?: string
}

export interface TerminalProgram extends Disposable {
  /** All that was written, with what steers the terminal. */
  readonly raw: string
  /** The lines of the screen, without empty ones at its end. */
  screen(): Promise<string[]>
  type(text: string): void
  readonly ended: Promise<number>
}

/** Runs a line of bash, with `coffer` on its path. */
export function runInTerminal(
  line: string,
  { env = {}, columns = 100, rows = 24, folder = repository }: TerminalOptions = {},
): TerminalProgram {
  const screen = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true })
  const program = spawn('bash', ['-c', line], {
    name: 'xterm-256color',
    cols: columns,
    rows,
    cwd: folder,
    env: {
      PATH: `${join(repository, 'node_modules', '.bin')}:${process.env['PATH']}`,
      HOME: process.env['HOME'] ?? '/',
      ...env,
    },
  })
  const { promise: ended, resolve } = Promise.withResolvers<number>()
  let raw = ''
  let isOver = false
  program.onData((text) => {
    raw += text
    screen.write(text)
  })
  program.onExit(({ exitCode }) => {
    isOver = true
    resolve(exitCode)
  })
  return {
    get raw() {
      return raw
    },
    async screen() {
      await new Promise<void>((written) => screen.write('', written))
      const { active } = screen.buffer
      const lines = Array.from({ length: active.length }, (_, at) =>
        (active.getLine(at)?.translateToString(true) ?? '').trimEnd(),
      )
      return lines.slice(0, lines.findLastIndex((text) => text !== '') + 1)
    },
    type: (text) => program.write(text),
    ended,
    [Symbol.dispose]() {
      if (!isOver) program.kill('SIGKILL')
      screen.dispose()
    },
  }
}
