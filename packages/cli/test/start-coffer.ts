/** The real program as a process of its own, on a free port; process and folder go with the test. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

export const repository = fileURLToPath(new URL('../../../', import.meta.url))
export const cofferProgram = join(repository, 'node_modules', '.bin', 'coffer')

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Program extends AsyncDisposable {
  readonly pid: number
  /** All that was written so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves at the end of the process itself. */
  readonly exited: Promise<unknown>
  /** Resolves at the end of the process and of all that holds its output. */
  readonly ended: Promise<Ending>
  /** Waits until standard output has what is asked for; rejects if the program ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  /** @returns whether the process was still there to hear it. */
  signal(name: NodeJS.Signals): boolean
}

export interface Coffer extends Program {
  /** As http://127.0.0.1:PORT */
  readonly url: string
  /** The key that `fetch` sends. */
  readonly key: string
  readonly folder: string
  /** From the birth of the process to the line that says it listens. */
  readonly startMilliseconds: number
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Creates a file for any use and gives the answer, whatever that is. */
  upload(content: Uint8Array<ArrayBuffer>, filename?: string): Promise<Response>
  stop(signal?: NodeJS.Signals): Promise<Ending>
  kill(): Promise<Ending>
}

export type Environment = Readonly<Record<string, string>>

export interface StartOptions {
  /** The API key that it is given; with '' it is given none. */
  readonly key?: string
  /** Settings and anything else, besides the few variables that any program gets. */
  readonly env?: Environment
  /** A data folder to use and keep, in place of a new one. */
  readonly folder?: string
  /** A program and its first arguments, in place of this checkout's `coffer`. */
  readonly command?: readonly [string, ...string[]]
}

/** Resolves once the program says that it listens. */
export async function startCoffer(options: StartOptions = {}): Promise<Coffer> {
  await using failed = new AsyncDisposableStack()
  const folder = options.folder ?? failed.use(await makeFolder()).path
  const key = options.key ?? 'sk-coffer-process-test'
  const [command, ...first] = options.command ?? [cofferProgram]
  const birth = performance.now()
  const program = failed.use(
    runProgram(command, [...first, 'serve', '--listen', '127.0.0.1:0', '--data', folder], {
      env: { COFFER_API_KEY: key, ...options.env },
    }),
  )
  const [, url = ''] = await program.printed(/^Coffer is listening on (\S+)\n/)
  const startMilliseconds = Math.round(performance.now() - birth)

  function send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${key}`)
    return fetch(`${url}${path}`, { ...init, headers })
  }

  function end(signal: NodeJS.Signals): Promise<Ending> {
    program.signal(signal)
    return program.ended
  }

  const running = failed.move()
  return Object.assign(program, {
    url,
    key,
    folder,
    startMilliseconds,
    fetch: send,
    upload(content: Uint8Array<ArrayBuffer>, filename = 'file.bin') {
      const form = new FormData()
      form.append('purpose', 'user_data')
      form.append('file', new Blob([content]), filename)
      return send('/v1/files', { method: 'POST', body: form })
    },
    stop: (signal: NodeJS.Signals = 'SIGTERM') => end(signal),
    kill: () => end('SIGKILL'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  })
}

/** Runs `coffer` with these arguments. */
export function runCoffer(args: readonly string[], env: Environment = {}): Program {
  return runProgram(cofferProgram, args, { env })
}

export interface RunOptions {
  readonly env?: Environment
  readonly folder?: string
}

export function runProgram(
  command: string,
  args: readonly string[],
  { env = {}, folder = repository }: RunOptions = {},
): Program {
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...bareEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  living.add(child)
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const exited = once(child, 'exit').finally(() => living.delete(child))
  const ended = once(child, 'close').then(([code, signal]): Ending => ({ code, signal }))
  // Whoever waits for them hears of a command that cannot be run; nobody has to wait.
  exited.catch(() => {})
  ended.catch(() => {})

  return {
    get pid() {
      return child.pid ?? 0
    },
    get stdout() {
      return output.stdout
    },
    get stderr() {
      return output.stderr
    },
    exited,
    ended,
    async printed(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
      const look = () => {
        const found = pattern.exec(output.stdout)
        if (found !== null) resolve(found)
      }
      child.stdout.on('data', look)
      ended.then(({ code, signal }) => {
        look()
        const { stdout, stderr } = output
        reject(
          new Error(`${command} ended (${code ?? signal}) without ${pattern}.\n${stdout}${stderr}`),
        )
      }, reject)
      look()
      try {
        return await promise
      } finally {
        child.stdout.off('data', look)
      }
    },
    signal: (name) => child.kill(name),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited.catch(() => {})
    },
  }
}

/**
 * With the Node that the test runs on, and without the settings that a developer may have for a
 * Coffer or an account of their own.
 */
function bareEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env
  return {
    PATH: [dirname(process.execPath), PATH].join(delimiter),
    HOME,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
  }
}

// A test that runs out of time never comes to its own clean-up.
const living = new Set<ChildProcess>()
const folders = new Set<string>()
afterAll(async () => {
  for (const child of living) child.kill('SIGKILL')
  for (const path of folders) await removeFolder(path)
})

export interface Folder extends AsyncDisposable {
  readonly path: string
}

export async function makeFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'coffer-test-'))
  folders.add(path)
  return {
    path,
    async [Symbol.asyncDispose]() {
      await removeFolder(path)
      folders.delete(path)
    },
  }
}

async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 })
}
