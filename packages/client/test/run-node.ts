/** Runs a program, as one of TypeScript in a Node of its own with `node --conditions=source`. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

export interface Ended {
  /** Null if a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

export function startNode(program: string, args: string[], options: RunOptions = {}): Running {
  return runProgram(process.execPath, ['--conditions=source', program, ...args], options)
}

export function runProgram(
  command: string,
  args: readonly string[],
  { cwd, env }: RunOptions = {},
): Running {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return {
    child,
    ended: ended.then(([stdout, stderr]) => ({ code: child.exitCode, stdout, stderr })),
  }
}
