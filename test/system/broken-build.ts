/**
 * A copy of the program with one sentence of its source replaced, to see whether a test notices.
 * Nothing in the program itself can be switched to be wrong.
 */

import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { repository } from '../../packages/cli/test/start-coffer.ts'

export interface Breakage {
  /** What is wrong with the build, as a sentence. */
  readonly fault: string
  /** The file, from the root of the repository. */
  readonly file: string
  /** What stands there exactly once. */
  readonly text: string
  readonly replacement: string
}

export interface BrokenBuild extends AsyncDisposable {
  /** To be run in place of this checkout's `coffer`. */
  readonly command: readonly [string]
}

/** @throws if the text to be replaced is not there exactly once, as the source has changed. */
export async function breakBuild(breakage: Breakage): Promise<BrokenBuild> {
  const { fault, file, text, replacement } = breakage
  const folder = await mkdtemp(join(tmpdir(), 'coffer-broken-'))
  folders.add(folder)
  await using failed = new AsyncDisposableStack()
  failed.defer(() => remove(folder))

  for (const name of await readdir(join(repository, 'packages'))) {
    for (const part of ['package.json', 'bin.js', 'src', 'migrations']) {
      const from = join(repository, 'packages', name, part)
      await cp(from, join(folder, 'packages', name, part), { recursive: true }).catch(ifMissing)
    }
  }
  await linkModules(folder)

  const source = await readFile(join(folder, file), 'utf8')
  const found = source.split(text).length - 1
  if (found !== 1) {
    throw new Error(
      `"${fault}" replaces a text that ${file} has ${found} times, not once:\n${text}`,
    )
  }
  // As a function, so that a dollar sign is only that.
  await writeFile(
    join(folder, file),
    source.replace(text, () => replacement),
  )

  const made = failed.move()
  return {
    command: [join(folder, 'packages', 'cli', 'bin.js')],
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** All that is installed, but the packages of this repository come from the copy. */
async function linkModules(folder: string): Promise<void> {
  const own = ['@coffer', 'coffer', '.bin']
  const modules = join(folder, 'node_modules')
  await mkdir(join(modules, '@coffer'), { recursive: true })
  for (const name of await readdir(join(repository, 'node_modules'))) {
    if (own.includes(name)) continue
    await symlink(join(repository, 'node_modules', name), join(modules, name))
  }
  for (const name of await readdir(join(folder, 'packages'))) {
    const target = join(folder, 'packages', name)
    const link = name === 'cli' ? 'coffer' : join('@coffer', name)
    await symlink(target, join(modules, link))
  }
}

function ifMissing(error: unknown): void {
  // Not every package has every part.
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  folders.delete(folder)
}

// A test that runs out of time never comes to its own clean-up.
const folders = new Set<string>()
afterAll(async () => {
  for (const folder of folders) await remove(folder)
})
