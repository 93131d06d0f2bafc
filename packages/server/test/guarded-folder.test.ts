/** That a folder and what runs in it are gone with the process that made them. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { until } from './until.ts'

/** Makes a folder in which `sleep` runs, and tells both; then it does as it is told. */
const program = `
  import { spawn } from 'node:child_process'
  import { makeGuardedFolder } from ${JSON.stringify(join(import.meta.dirname, 'guarded-folder.ts'))}
  const folder = await makeGuardedFolder('guarded', 'KILL')
  const child = spawn('sleep', ['600'], { cwd: folder.path, stdio: 'ignore' })
  folder.guard(child)
  console.log(JSON.stringify({ path: folder.path, pid: child.pid }))
  process.once('message', async (what) => {
    if (what === 'dispose') await folder[Symbol.asyncDispose]()
    if (what === 'throw') throw new Error('A test failed.')
    process.exit()
  })`

describe('a guarded folder', () => {
  it.each(['SIGKILL', 'SIGINT', 'SIGTERM', 'dispose', 'throw', 'exit'] as const)(
    'is gone with all that runs in it after %s',
    async (end) => {
      const owner = spawn(process.execPath, ['--input-type=module', '--eval', program], {
        stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
      })
      const ended = once(owner, 'exit')
      if (owner.stdout === null) throw new Error('There is no pipe.')
      const [line] = await once(owner.stdout, 'data')
      const { path, pid } = JSON.parse(String(line)) as { path: string; pid: number }
      expect([existsSync(path), isRunning(pid)]).toEqual([true, true])
      if (end.startsWith('SIG')) owner.kill(end as NodeJS.Signals)
      else owner.send(end)
      await ended
      await until(async () => !isRunning(pid) && !existsSync(path))
    },
  )
})

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
