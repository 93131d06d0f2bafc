import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { lockFolder } from './lock-folder.ts'

describe('a locked folder', () => {
  it('cannot be locked again by the same process', async () => {
    await using folder = await makeFolder()
    using _lock = lockFolder(folder.path)
    expect(() => lockFolder(folder.path)).toThrow(
      `The folder ${folder.path} is in use by another Coffer.`,
    )
  })

  it('cannot be locked by another process', async () => {
    await using folder = await makeFolder()
    using _lock = lockFolder(folder.path)
    expect(await firstLineOf(lockElsewhere(folder.path))).toBe(
      `The folder ${folder.path} is in use by another Coffer.`,
    )
  })

  it('stays locked after others tried', async () => {
    await using folder = await makeFolder()
    using _lock = lockFolder(folder.path)
    expect(() => lockFolder(folder.path)).toThrow('in use')
    await firstLineOf(lockElsewhere(folder.path))
    expect(() => lockFolder(folder.path)).toThrow('in use')
    expect(await firstLineOf(lockElsewhere(folder.path))).toContain('in use')
  })

  it('is free once its lock was disposed of', async () => {
    await using folder = await makeFolder()
    for (let times = 0; times < 3; times += 1) {
      using _lock = lockFolder(folder.path)
    }
    const other = lockElsewhere(folder.path)
    expect(await firstLineOf(other)).toBe('locked')
    await kill(other)
  })

  it('is free once the process that locked it was killed', async () => {
    await using folder = await makeFolder()
    const holder = lockElsewhere(folder.path)
    expect(await firstLineOf(holder)).toBe('locked')
    expect(() => lockFolder(folder.path)).toThrow('in use')
    await kill(holder)
    using _lock = lockFolder(folder.path)
    expect(await firstLineOf(lockElsewhere(folder.path))).toContain('in use')
  })

  it('does not lock another', async () => {
    await using one = await makeFolder()
    await using other = await makeFolder()
    using _lock = lockFolder(one.path)
    using _otherLock = lockFolder(other.path)
  })

  it('holds one empty file for it', async () => {
    await using folder = await makeFolder()
    using _lock = lockFolder(folder.path)
    expect(await readdir(folder.path)).toEqual(['LOCK'])
  })
})

describe('a folder that does not exist', () => {
  it('cannot be locked, and is not said to be in use', async () => {
    await using folder = await makeFolder()
    const missing = join(folder.path, 'none')
    expect(() => lockFolder(missing)).toThrow('unable to open database file')
  })
})

const makeFolder = () => mkdtempDisposable(join(tmpdir(), 'coffer-lock-'))

/** A process that locks the folder, says how that went and, if it has the lock, keeps it. */
function lockElsewhere(folder: string): ChildProcess {
  const program = `
    import { lockFolder } from ${JSON.stringify(new URL('lock-folder.ts', import.meta.url))}
    try {
      globalThis.lock = lockFolder(${JSON.stringify(folder)})
      console.log('locked')
      process.stdin.resume()
    } catch (error) {
      console.log(error.message)
    }`
  return spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
}

async function firstLineOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('The process has no output.')
  for await (const line of createInterface(stdout)) return line
  throw new Error('The process said nothing.')
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
