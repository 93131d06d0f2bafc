import { readFileSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { preparePython, skipReason } from './python.ts'
import {
  type Coffer,
  type Folder,
  makeFolder,
  type Program,
  repository,
  runProgram,
  startCoffer,
} from './start-coffer.ts'

const readme = readFileSync(join(repository, 'README.md'), 'utf8')

interface Block {
  readonly language: string
  readonly code: string
}

const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
  ([, language = '', code = '']): Block => ({ language, code }),
)

/** What talks to a server; the other blocks are to be read, or start one. */
const runnable = blocks.filter(
  ({ language, code }) =>
    ['sh', 'python', 'js'].includes(language) && /\$OPENAI_BASE_URL|openai|npx coffer/i.test(code),
)

describe('the README', () => {
  let coffer: Coffer
  let folder: Folder
  beforeAll(async () => {
    coffer = await startCoffer()
    folder = await makeFolder()
    await mkdir(join(folder.path, 'empty'))
    // What `npm install openai` and a file of settings for curl would be found as.
    await symlink(join(repository, 'node_modules'), join(folder.path, 'node_modules'))
    await writeFile(join(folder.path, '.curlrc'), 'fail-with-body\nno-progress-meter\n')
  })
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  function run(command: string, args: readonly string[]): Program {
    return runProgram(command, args, {
      env: {
        OPENAI_BASE_URL: `${coffer.url}/v1`,
        OPENAI_API_KEY: coffer.key,
        CURL_HOME: folder.path,
        XDG_STATE_HOME: folder.path,
      },
      folder: join(folder.path, 'empty'),
    })
  }

  async function start({ language, code }: Block): Promise<Program> {
    switch (language) {
      case 'sh':
        return run('sh', ['-euc', code])
      case 'python':
        return run(await preparePython('requirements.txt'), ['-c', code])
      case 'js':
        return run(process.execPath, ['--input-type=module', '--eval', code])
      default:
        throw new Error(`The README has a block of ${language}, which nothing here runs.`)
    }
  }

  it('has something to run in each language', () => {
    expect(new Set(runnable.map(({ language }) => language))).toEqual(
      new Set(['sh', 'python', 'js']),
    )
  })

  // In order and in one folder: a later block may use what an earlier one has made.
  runnable.forEach((block, index) => {
    const skipped = block.language === 'python' && skipReason !== undefined
    const name = `has a block of ${block.language} that runs (${index + 1} of ${runnable.length})`
    it.skipIf(skipped)(
      skipped ? `${name}: ${skipReason}` : name,
      { timeout: 300_000 },
      async () => {
        await using program = await start(block)
        const { code } = await program.ended
        expect(code, `${block.code}\n${program.stdout}\n${program.stderr}`).toBe(0)
      },
    )
  })

  it('names npm scripts that exist', () => {
    const text = readFileSync(join(repository, 'package.json'), 'utf8')
    const { scripts } = z
      .object({ scripts: z.record(z.string(), z.string()) })
      .parse(JSON.parse(text))
    const named = [...readme.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)]
    const names = named.map(([, run, own]) => run ?? own)
    expect(names).toContain('start')
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(names))
  })
})
