import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { startServer } from '../../server/test/start-server.ts'
import { runProgram } from './run-node.ts'

const root = join(import.meta.dirname, '../../..')

/** The program of each block, with the end of the name that says how it is run. */
async function readBlocks(name: string): Promise<{ code: string; suffix: string }[]> {
  const page = await readFile(join(root, 'docs', name), 'utf8')
  return [...page.matchAll(/^```(ts|sh)\n(.*?)^```$/gms)].map(([, language, code = '']) => ({
    code,
    suffix: language === 'ts' ? 'mts' : 'sh',
  }))
}

const filesApi = await readBlocks('FilesApi.md')
const uploadsApi = await readBlocks('UploadsApi.md')

/** A folder outside the repository in which `@coffer/client` is installed. */
async function makeInstalled(blocks: Awaited<ReturnType<typeof readBlocks>>) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-docs-'))
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'))
  const programs: string[] = []
  for (const [index, { code, suffix }] of blocks.entries()) {
    const program = join(folder.path, `block-${index + 1}.${suffix}`)
    await writeFile(program, code)
    programs.push(program)
  }
  const cwd = join(folder.path, 'empty')
  await mkdir(cwd)
  return { path: folder.path, cwd, programs, [Symbol.asyncDispose]: () => folder.remove() }
}

/** Runs the blocks of a page in their order; gives what each printed. */
async function runAll(
  { programs, cwd }: Awaited<ReturnType<typeof makeInstalled>>,
  { url, apiKey }: { url: string; apiKey: string },
): Promise<string[]> {
  const env = {
    ...{ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: apiKey, XDG_STATE_HOME: cwd },
    PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`,
  }
  const printed: string[] = []
  for (const program of programs) {
    const [command, ...args] = program.endsWith('.sh')
      ? (['bash', '-euo', 'pipefail', program] as const)
      : ([process.execPath, '--conditions=source', program] as const)
    const { code, stdout, stderr } = await runProgram(command, args, { cwd, env }).ended
    expect({ program, code, stderr }).toEqual({ program, code: 0, stderr: '' })
    printed.push(stdout)
  }
  return printed
}

describe('docs/FilesApi.md', () => {
  it('has an example of each operation', () => {
    const names = [
      'checkFile',
      'createFile',
      'deleteFile',
      'downloadFile',
      'listFiles',
      'retrieveFile',
    ]
    for (const name of names) {
      expect(filesApi.filter(({ code }) => code.includes(`.${name}(`))).not.toEqual([])
    }
  })

  it('has examples that run as they stand, in their order', async () => {
    await using server = await startServer()
    await using installed = await makeInstalled(filesApi)
    const printed = await runAll(installed, server)
    expect(printed[0]).toMatch(/42 of 42 bytes\nfile-\w+ train\.jsonl 42\n/)
    expect(printed[2]).toMatch(
      /^true 1 \d+\nfalse 1\ntrain\.jsonl:1: Missing required parameter: 'completion'\.\n$/,
    )
    expect(await readFile(join(installed.cwd, 'train-copy.jsonl'), 'utf8')).toBe(
      '{"prompt": "2 + 2 =", "completion": " 4"}\n',
    )
    // The last example deletes all files.
    expect((await server.list()).data).toEqual([])
  })
})

describe('docs/UploadsApi.md', () => {
  it('has examples that run as they stand, in their order', async () => {
    await using server = await startServer()
    await using installed = await makeInstalled(uploadsApi)
    const [byProgram, byClient, operations, byHand, byTus] = await runAll(installed, server)
    expect(byProgram).toMatch(/^file-\w+ {2}model\.bin\n$/)
    expect(byClient).toMatch(/100000000 of 100000000 bytes\nfile-\w+ 100000000\n$/)
    expect(operations).toMatch(/^(part_\w+ 5\n){2}completed file-\w+ 10\ncancelled\n$/)
    expect(byHand).toMatch(/"status":"completed"/)
    expect(byTus).toMatch(/^file-\w+\n$/)
    const { data } = await server.list()
    const found = data.map(({ filename, bytes }) => `${filename} ${bytes}`)
    const large = 'model.bin 100000000'
    expect(found).toEqual([large, 'c.txt 10', 'a.txt 10', large, large])
  })
})

describe('the pages about the client', () => {
  it('have examples that the compiler accepts', async () => {
    const typed = [...filesApi, ...uploadsApi].filter(({ suffix }) => suffix === 'mts')
    await using installed = await makeInstalled(typed)
    const options = {
      compilerOptions: {
        strict: true,
        target: 'esnext',
        lib: ['esnext', 'dom', 'dom.iterable'],
        module: 'nodenext',
        customConditions: ['source'],
        allowImportingTsExtensions: true,
        types: ['node'],
        skipLibCheck: true,
        noEmit: true,
      },
      include: ['*.mts'],
    }
    await writeFile(join(installed.path, 'tsconfig.json'), JSON.stringify(options))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const child = spawn(process.execPath, [tsc, '-p', installed.path])
    const [printed] = await Promise.all([text(child.stdout), once(child, 'close')])
    expect(printed).toBe('')
    expect(child.exitCode).toBe(0)
  })
})
