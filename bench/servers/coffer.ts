/** Coffer as a user starts it. */

import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../measure.ts'
import { type Program, type Server, startServer } from './program.ts'

export const program = join(root, 'node_modules/.bin/coffer')
export const key = 'sk-bench'

export interface CofferServer extends Server {
  /** What makes a client talk to it. */
  readonly env: { readonly OPENAI_BASE_URL: string; readonly OPENAI_API_KEY: string }
}

/** On a folder that is there afterwards. */
export function startOn(folder: string): Promise<Server> {
  return startServer(tmpdir(), () => programOn(folder))
}

function programOn(folder: string): Pick<Required<Program>, 'command' | 'env'> {
  return {
    command: [program, 'serve', '--listen', '127.0.0.1:0', '--data', folder],
    env: { COFFER_API_KEY: key, COFFER_LOG_LEVEL: 'error' },
  }
}

export interface StartOptions {
  /** A program and its arguments that runs it. */
  readonly wrapper?: readonly [string, ...string[]]
  /** Settings that are not as a user finds them. */
  readonly settings?: Readonly<Record<string, string>>
}

export async function startCoffer(
  parent = tmpdir(),
  { wrapper, settings = {} }: StartOptions = {},
): Promise<CofferServer> {
  const server = await startServer(parent, (folder) => {
    const { command, env: standard } = programOn(folder)
    const env = { ...standard, ...settings }
    if (wrapper === undefined) return { command, env }
    return { command: [...wrapper, ...command], env, isWrapper: true }
  })
  const env = { OPENAI_BASE_URL: `http://127.0.0.1:${server.port}/v1`, OPENAI_API_KEY: key }
  return Object.assign(server, { env })
}
