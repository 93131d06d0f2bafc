import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commandNames } from './command-names.ts'
import { type Folder, makeFolder, repository } from './start-coffer.ts'
import { runInTerminal, type TerminalProgram } from './terminal.ts'

let folder: Folder
beforeAll(async () => {
  folder = await makeFolder()
  await mkdir(join(folder.path, 'reports'))
  await writeFile(join(folder.path, 'reports', 'one file.txt'), '')
  for (const name of ['bash', 'zsh', 'fish']) {
    const { stdout } = shell('bash', `coffer complete ${name}`)
    await writeFile(join(folder.path, name), stdout)
  }
})
afterAll(() => folder?.[Symbol.asyncDispose]())

const has = (shell: string) => spawnSync(shell, ['-c', 'true']).status === 0
const nameOf = (shell: string, name: string) => (has(shell) ? name : `${name}: no ${shell} here`)

const path = `${join(repository, 'node_modules', '.bin')}:${process.env['PATH']}`

function shell(name: string, code: string): { stdout: string; stderr: string } {
  return spawnSync(name, ['-c', code], {
    cwd: folder.path,
    env: { PATH: path, HOME: folder.path },
    encoding: 'utf8',
  })
}

describe('coffer complete bash', () => {
  /** What bash would offer, by the function that is registered. */
  function offered(...words: string[]): string[] {
    const { stdout, stderr } = shell(
      'bash',
      `source ./bash; source ./bash
       COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
       $(complete -p coffer | sed 's/.*-F \\([^ ]*\\).*/\\1/')
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    )
    expect(stderr).toBe('')
    return stdout.split('\n').filter((word) => word !== '')
  }

  it('completes commands', () => {
    expect(offered('coffer', '')).toEqual([...commandNames, '--help'])
    expect(offered('coffer', 'd')).toEqual(['download', 'delete'])
    expect(offered('coffer', 'up')).toEqual(['upload'])
  })

  it('completes the options of the command', () => {
    expect(offered('coffer', 'upload', 'x', '--p')).toEqual(['--purpose', '--parallel'])
    expect(offered('coffer', 'delete', '--')).toEqual(['--url', '--key', '--yes', '--help'])
    expect(offered('coffer', 'serve', '--li')).toEqual(['--listen'])
  })

  it('completes values that are known', () => {
    expect(offered('coffer', 'list', '--order', '')).toEqual(['asc', 'desc'])
    expect(offered('coffer', 'complete', '')).toEqual(['bash', 'zsh', 'fish'])
  })

  it('leaves paths to bash', async () => {
    expect(offered('coffer', 'upload', 'rep')).toEqual([])
    using program = runInTerminal('bash --norc -i', { folder: folder.path })
    await typed(program, 'source <(coffer complete bash)')
    program.type('coffer upl\trep\tone\t')
    await last(program, /coffer upload reports\/one\\ file\.txt$/)
  })
})

describe('coffer complete zsh', () => {
  it.skipIf(!has('zsh'))(nameOf('zsh', 'completes commands, options and paths'), async () => {
    using program = runInTerminal('zsh -f -i', { folder: folder.path })
    await typed(program, 'source <(coffer complete zsh)')
    program.type('coffer upl\t--pur\tassistants rep\t')
    await last(program, /coffer upload --purpose assistants reports\//)
  })
})

/** Waits for the prompt, and for what is typed to be done. */
async function typed(program: TerminalProgram, line: string): Promise<void> {
  await last(program, /[#$%>]$/)
  program.type(`${line}; echo re""ady\r`)
  await expect.poll(async () => await program.screen(), { timeout: 10_000 }).toContain('ready')
  await last(program, /[#$%>]$/)
}

/** Waits until the last line of the screen is so. */
async function last(program: TerminalProgram, pattern: RegExp): Promise<void> {
  await expect
    .poll(async () => (await program.screen()).at(-1), { timeout: 10_000 })
    .toMatch(pattern)
}

describe('coffer complete fish', () => {
  it.skipIf(!has('fish'))(nameOf('fish', 'completes commands, options and paths'), () => {
    const offered = (line: string) => {
      const { stdout, stderr } = shell('fish', `source ./fish; complete -C '${line}'`)
      expect(stderr).toBe('')
      return stdout
        .split('\n')
        .map((text) => text.split('\t')[0] ?? '')
        .filter((word) => word !== '')
    }
    expect(offered('coffer ').sort()).toEqual([...commandNames].sort())
    expect(offered('coffer upload --p').sort()).toEqual(['--parallel', '--purpose'])
    expect(offered('coffer list --order ')).toEqual(['asc', 'desc'])
    expect(offered('coffer upload rep')).toEqual(['reports/'])
  })
})
