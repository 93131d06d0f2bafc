import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commandNames } from './command-names.ts'
import { makeFolder, repository, runProgram, startCoffer } from './start-coffer.ts'

const page = readFileSync(join(repository, 'docs', 'cli.md'), 'utf8')
const lines = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, code = '']) => code).join('')

describe('docs/cli.md', () => {
  it('has lines to run, and names every command and exit code', () => {
    expect(lines.match(/coffer \w+/g)?.length).toBeGreaterThan(5)
    for (const command of commandNames) {
      expect(page).toContain(`coffer ${command}`)
    }
    for (const code of ['0', '1', '2', '130', '141']) expect(page).toContain(`| ${code} |`)
  })

  it('has lines that run, one after the other in an empty folder', async () => {
    await using coffer = await startCoffer()
    await using folder = await makeFolder()
    await using shell = runProgram('bash', ['-e', '-u', '-x', '-o', 'pipefail', '-c', lines], {
      folder: folder.path,
      env: {
        PATH: `${join(repository, 'node_modules', '.bin')}:${process.env['PATH']}`,
        OPENAI_BASE_URL: `${coffer.url}/v1`,
        OPENAI_API_KEY: coffer.key,
        COFFER_DATA: coffer.folder,
      },
    })
    const { code } = await shell.ended
    expect(code, `${shell.stdout}\n${shell.stderr}`).toBe(0)
    expect(shell.stdout).toContain(
      "train.jsonl:1: Missing required parameter: 'item'.\nTo be mended first.\n",
    )
    const [, fine] = /`(train\.jsonl: fine, .*?)`/.exec(page) ?? []
    expect(shell.stdout.split('\n')).toContain(fine)
    const left = await coffer.fetch('/v1/files')
    expect(await left.json()).toMatchObject({ data: [] })
  })
})
