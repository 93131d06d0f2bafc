/** A server as a process of its own, and its folder, which go together. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { root } from '../measure.ts'
import { family } from '../usage.ts'

export interface Server extends AsyncDisposable {
  readonly pid: number
  readonly port: number
  /** What it stores is somewhere below. */
  readonly folder: string
}

export interface Program {
  readonly command: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  /** Where it will listen, if it does not say so in its first line. */
  readonly port?: number
  /** Whether the command only starts the server, and ends when that ends. */
  readonly isWrapper?: boolean
}

/** @param parent where its folder is made. */
export async function startServer(
  parent: string,
  programOf: (folder: string) => Program | Promise<Program>,
): Promise<Server> {
  const folder = await mkdtemp(join(parent, 'coffer-bench-'))
  const { command, env, port: known, isWrapper = false } = await programOf(folder)
  const [file, ...args] = command
  const child = spawn(file, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = known === undefined ? await portOf(child) : await accepting(known)
  const [own = Number.NaN, wrapped = Number.NaN] = family(child.pid ?? Number.NaN)
  const pid = isWrapper ? wrapped : own
  return {
    pid,
    port,
    folder,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      process.kill(pid, 'SIGTERM')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** From the first line that a server prints, which ends with it. */
async function portOf({ stdout }: ChildProcess): Promise<number> {
  if (stdout === null) throw new Error('The server has no output.')
  const lines = createInterface({ input: stdout })
  const [line] = await Promise.race([once(lines, 'line'), once(lines, 'close')])
  const port = Number(/:(\d+)$/.exec(String(line))?.[1])
  if (Number.isNaN(port)) throw new Error(`The server said ${line}, and not where it listens.`)
  return port
}

async function accepting(port: number): Promise<number> {
  for (let tries = 0; tries < 500; tries += 1) {
    const socket = connect({ port, host: '127.0.0.1' })
    try {
      await once(socket, 'connect')
      return port
    } catch {
      // Not yet.
      await delay(10)
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`Nothing listens on ${port}.`)
}

/** The server that keeps nothing. @param kind `fastify`, or else `node:http` alone. */
export function startBare(parent: string, ...kind: 'fastify'[]): Promise<Server> {
  const program = join(import.meta.dirname, 'bare.ts')
  return startServer(parent, () => ({ command: [process.execPath, program, ...kind] }))
}
