/** The server under measurement: the real program on a folder of its own. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { root } from './measure.ts'

export interface CofferServer extends AsyncDisposable {
  /** What makes a client talk to it. */
  readonly env: { readonly OPENAI_BASE_URL: string; readonly OPENAI_API_KEY: string }
}

export const program = join(root, 'node_modules/.bin/coffer')

export async function startCoffer(): Promise<CofferServer> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-bench-'))
  const key = 'sk-bench'
  const child = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--data', folder], {
    cwd: root,
    env: { ...process.env, COFFER_API_KEY: key, COFFER_LOG_LEVEL: 'error' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const url = String(line).replace('Coffer is listening on ', '')
  return {
    env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}
