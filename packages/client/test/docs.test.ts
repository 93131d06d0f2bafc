import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { startServer } from '../../server/test/start-server.ts'
import { startNode } from './run-node.ts'

const root = join(import.meta.dirname, '../../..')
const page = await readFile(join(root, 'docs/FilesApi.md'), 'utf8')
const blocks = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block = '']) => block)

/** A folder outside the repository in which `@coffer/client` is installed. */
async function makeInstalled() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-docs-'))
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'))
  const programs: string[] = []
  for (const [index, block] of blocks.entries()) {
    const program = join(folder.path, `block-${index + 1}.mts`)
    await writeFile(program, block)
    programs.push(program)
  }
  const cwd = join(folder.path, 'empty')
  await mkdir(cwd)
  return { path: folder.path, cwd, programs, [Symbol.asyncDispose]: () => folder.remove() }
}

describe('docs/FilesApi.md', () => {
  it('has an example of each operation', () => {
    for (const name of ['createFile', 'deleteFile', 'downloadFile', 'listFiles', 'retrieveFile']) {
      expect(blocks.filter((block) => block.includes(`.${name}(`))).not.toEqual([])
    }
  })

  it('has examples that run as they stand, in their order', async () => {
    await using server = await startServer()
    await using installed = await makeInstalled()
    const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: server.apiKey }
    const printed: string[] = []
    for (const program of installed.programs) {
      const { code, stdout, stderr } = await startNode(program, [], { cwd: installed.cwd, env })
        .ended
      expect({ program, code, stderr }).toEqual({ program, code: 0, stderr: '' })
      printed.push(stdout)
    }
    expect(printed[0]).toMatch(/42 of 42 bytes\nfile-\w+ train\.jsonl 42\n/)
    expect(await readFile(join(installed.cwd, 'train-copy.jsonl'), 'utf8')).toBe(
      '{"prompt": "2 + 2 =", "completion": " 4"}\n',
    )
    // The last example deletes all files.
    expect((await server.list()).data).toEqual([])
  })

  it('has examples that the compiler accepts', async () => {
    await using installed = await makeInstalled()
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
