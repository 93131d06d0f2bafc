import { chmod, mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { ApiClient, Configuration, FilesApi } from '@coffer/client'
import { fileFromPath } from '@coffer/client/node'
import PdfDocument from 'pdfkit'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runFake } from './fake-io.ts'
import { type Folder, makeFolder, startCoffer } from './start-coffer.ts'
import { runInTerminal, type TerminalProgram } from './terminal.ts'

const GiB = 1024 ** 3

let folder: Folder
beforeEach(async () => {
  folder = await makeFolder()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await folder[Symbol.asyncDispose]()
})

const at = (...names: string[]) => join(folder.path, ...names)

async function write(name: string, content: string | Uint8Array): Promise<string> {
  await mkdir(join(at(name), '..'), { recursive: true })
  await writeFile(at(name), content)
  return at(name)
}

/** Without a server and a key. */
function check(purpose: string, ...args: string[]) {
  return runFake(['check', '--purpose', purpose, ...args])
}

function lines(...values: object[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('')
}

function request(custom_id: string | undefined, model = 'gpt-4.1-mini'): object {
  return { custom_id, method: 'POST', url: '/v1/responses', body: { model, input: 'What?' } }
}

const noId = "Missing required parameter: 'custom_id'."
const chat = { messages: [{ role: 'assistant', content: 'Hello.' }] }
/** The head of an image of one pixel. */
const png = Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000000', 'hex')

const goodFiles: [string, string, string | Uint8Array, string][] = [
  ['assistants', 'notes.md', '# Notes\n', 'text/markdown, 3 tokens'],
  ['batch', 'one.jsonl', lines(request('1')), '1 request of gpt-4.1-mini, 2 tokens'],
  ['evals', 'evals.jsonl', lines({ item: {} }, { item: {} }), '2 lines, 0 tokens'],
  ['fine-tune', 'train.jsonl', lines(chat).repeat(1204), '1,204 lines, 2,408 tokens'],
  ['fine-tune', 'bare', lines({ prompt: 'What?', completion: 'No.' }), '1 line, 4 tokens'],
  ['user_data', 'any.bin', new Uint8Array([0, 255]), 'application/octet-stream, 2 B'],
  ['vision', 'cat.png', png, 'image/png, 29 B'],
]

const badFiles: [string, string, string | Uint8Array, RegExp][] = [
  ['assistants', 'notes.xyz', 'Notes.', /^: Invalid extension xyz\. Supported formats: .*\n$/],
  ['assistants', 'report.pdf', 'No PDF.', /^: The content is not what the name says: .*\n$/],
  ['batch', 'batch.jsonl', lines(request('1'), request(undefined)), /^:2: Missing .*'\.\n$/],
  ['batch', 'batch.csv', lines(request('1')), /^: Invalid file format for Batch API\. .*\n$/],
  ['evals', 'evals.jsonl', lines({}), /^:1: Missing required parameter: 'item'\.\n$/],
  ['fine-tune', 'train.jsonl', `${lines(chat)}5\n`, /^:2: Expected file to have JSONL format.*\n$/],
  ['fine-tune', 'empty.jsonl', '', /^: The file has no line\.\n$/],
  ['vision', 'cat.png', 'No cat.', /^: The content is not a PNG, JPEG, GIF or WebP image\.\n$/],
]

describe('coffer check', () => {
  it.each(goodFiles)('says for %s that %s is fine', async (purpose, name, content, facts) => {
    const path = await write(name, content)
    expect(await check(purpose, path)).toEqual({
      code: 0,
      stdout: `${path}: fine, ${facts}\n`,
      stderr: '',
    })
  })

  it.each(badFiles)('says for %s what is wrong with %s', async (purpose, name, content, told) => {
    const path = await write(name, content)
    const { code, stdout, stderr } = await check(purpose, path)
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'coffer: 1 fault.\n' })
    expect(stdout.startsWith(path)).toBe(true)
    expect(stdout.slice(path.length)).toMatch(told)
  })

  it('shows a hundred faults of a file, and counts the rest', async () => {
    const path = await write('batch.jsonl', lines(request('1')) + lines({}).repeat(306))
    const { code, stdout, stderr } = await check('batch', path)
    const shown = stdout.trimEnd().split('\n')
    expect(shown).toHaveLength(101)
    expect(shown[0]).toBe(`${path}:2: ${noId}`)
    expect(shown[99]).toBe(`${path}:26: Missing required parameter: 'body'.`)
    expect(shown[100]).toBe(`${path}: … and 1,124 more`)
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'coffer: 1,224 faults.\n' })
  })

  it('looks at all files, in their order, also behind one that is bad or missing', async () => {
    const [good, bad] = [lines(request('1')), lines(request(undefined))]
    const first = await write('z.jsonl', bad)
    await write('folder/a.jsonl', good)
    await write('folder/deep/b.jsonl', bad + bad)
    await write('folder/.hidden.jsonl', bad)
    await symlink(first, at('folder/link.jsonl'))
    const { code, stdout, stderr } = await check('batch', first, at('none'), at('folder'), first)
    expect(stdout).toBe(
      `${first}:1: ${noId}\n` +
        `${at('folder/a.jsonl')}: fine, 1 request of gpt-4.1-mini, 2 tokens\n` +
        `${at('folder/deep/b.jsonl')}:1: ${noId}\n` +
        `${at('folder/deep/b.jsonl')}:2: ${noId}\n`,
    )
    expect(stderr).toBe(
      `Not checked: ${at('none')}: There is no such file.\n` +
        `Skipped: ${at('folder/.hidden.jsonl')}: It is hidden.\n` +
        `Skipped: ${at('folder/link.jsonl')}: It is a link.\n` +
        'coffer: 3 faults in 2 of 3 files; 1 not checked.\n',
    )
    expect(code).toBe(1)
  })

  it('prints what it found in each file as a line of JSON', async () => {
    const good = await write('good.jsonl', lines(request('1')))
    const bad = await write('bad.jsonl', lines(request(undefined)))
    const { code, stdout, stderr } = await check('batch', good, bad, '--json')
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'coffer: 1 fault in 1 of 2 files.\n' })
    const [first, second] = stdout.split('\n', 2).map((line) => JSON.parse(line))
    expect(first).toMatchObject({ path: good, filename: 'good.jsonl', valid: true, details: [] })
    expect(second).toMatchObject({ path: bad, valid: false, details_total: 1 })
    expect(second.details).toEqual([expect.objectContaining({ line: 1, message: noId })])
  })

  it('asks as much as --rules says', async () => {
    const path = await write('train.jsonl', lines({ text: 'Of no known shape.' }))
    expect(await check('fine-tune', path)).toMatchObject({ code: 0 })
    expect(await check('fine-tune', path, '--rules', 'strict')).toMatchObject({ code: 1 })
    const batch = await write('batch.jsonl', lines(request(undefined)))
    expect(await check('batch', batch)).toMatchObject({ code: 1 })
    expect(await check('batch', batch, '--rules', 'openai')).toMatchObject({
      code: 0,
      stdout: `${batch}: fine, 1 line, 2 tokens\n`,
    })
  })

  it('reads standard input, and keeps nothing of it', async () => {
    await mkdir(at('temporary'))
    vi.stubEnv('TMPDIR', at('temporary'))
    const args = ['check', '-', '--purpose', 'batch']
    expect(await runFake(args, { stdin: lines(request('1')) })).toEqual({
      code: 0,
      stdout: '-: fine, 1 request of gpt-4.1-mini, 2 tokens\n',
      stderr: '',
    })
    const bad = await runFake(args, { stdin: lines(request('1'), request('1')) })
    expect(bad.stdout).toMatch(/^-:2: The custom_id '1' is used by an earlier line/)
    expect(await copies()).toEqual([])
  })

  // The superuser may read everything, so the test steps down for a moment.
  it.skipIf(process.getuid?.() !== 0)(
    'names what may not be read, and checks the rest',
    async () => {
      await chmod(folder.path, 0o755)
      await chmod(await write('open/a-secret.txt', 'Secret.'), 0)
      const path = await write('open/b.txt', 'Text.')
      process.seteuid?.(65534)
      const outcome = await check('user_data', at('open')).finally(() => process.seteuid?.(0))
      expect(outcome).toEqual({
        code: 1,
        stdout: `${path}: fine, text/plain, 5 B\n`,
        stderr:
          `Not checked: ${at('open/a-secret.txt')}: it may not be read or written by you.\n` +
          'coffer: 1 checked, 1 not.\n',
      })
    },
  )

  it.each([
    [['check', 'x'], "required option '-p, --purpose <purpose>' not specified."],
    [['check', '-p', 'vision'], "missing required argument 'paths'."],
    [
      ['check', 'x', '-p', 'batch_output'],
      "option '-p, --purpose <purpose>' argument 'batch_output' is invalid. " +
        'Allowed choices are assistants, batch, evals, fine-tune, user_data, vision.',
    ],
    [
      ['check', 'x', '-p', 'batch', '--rules', 'off'],
      "option '--rules <level>' argument 'off' is invalid. Allowed choices are full, strict, openai.",
    ],
  ])('of wrong use ends with 2: %j', async (args, sentence) => {
    expect(await runFake(args)).toEqual({
      code: 2,
      stdout: '',
      stderr: `coffer: ${sentence} See coffer check --help.\n`,
    })
  })

  it('lets neither names nor content steer the terminal', async () => {
    const evil = '\u001b[2J\u202egpj.\u2066'
    const content = lines(request('1', 'plain'), request('2', evil))
    const path = await write(`${evil}\n.jsonl`, content)
    for (const json of [[], ['--json']]) {
      const { code, stdout, stderr } = await check('batch', path, at(`none${evil}`), ...json)
      expect(code).toBe(1)
      expect(stdout.match(/gpj\./g)?.length).toBeGreaterThan(1)
      expect(stdout.trimEnd() + stderr.replaceAll('\n', '')).not.toMatch(
        /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u,
      )
      if (json.length > 0) expect(JSON.parse(stdout).path).toBe(path)
    }
  })

  it('finds what a server finds', async () => {
    await using coffer = await startCoffer()
    const facts = { host: `${coffer.url}/v1`, accessToken: coffer.key }
    const api = new FilesApi(new ApiClient(new Configuration(facts)))
    const large = lines(request(undefined)).repeat(20_000)
    for (const [purpose, name, content] of [
      ...[...goodFiles, ...badFiles],
      ['batch', 'large.jsonl', large] as const,
    ]) {
      const path = await write(name, content)
      const { stdout } = await check(purpose, path, '--json')
      const { path: _, ...found } = JSON.parse(stdout)
      expect(found).toEqual(await api.checkFile(await fileFromPath(path), purpose))
    }
  })
})

/** What there is of standard input, besides what Node keeps of its own. */
async function copies(): Promise<string[]> {
  const names = await readdir(at('temporary'))
  return names.filter((name) => name.startsWith('coffer-check-'))
}

describe('coffer check on a terminal', () => {
  const run = (line: string) =>
    runInTerminal(line, { folder: folder.path, env: { TMPDIR: at('temporary') } })

  /** Waits until the screen shows it. */
  async function shown(program: TerminalProgram, pattern: RegExp): Promise<void> {
    await expect
      .poll(async () => (await program.screen()).join('\n'), { timeout: 20_000, interval: 20 })
      .toMatch(pattern)
  }

  async function stopsAtOnce(program: TerminalProgram): Promise<void> {
    const began = performance.now()
    program.type('\x03')
    await program.ended
    expect(performance.now() - began).toBeLessThan(1000)
    expect(await program.screen()).toEqual(['coffer: Stopped.', 'code 130'])
  }

  it('shows how far it is, and leaves only the results', async () => {
    await writeFile(at('large.bin'), '')
    await truncate(at('large.bin'), GiB)
    await write('bad.jsonl', lines(request(undefined)))
    using program = run('coffer check large.bin -p user_data; coffer check bad.jsonl -p batch')
    await shown(program, /^large\.bin +[█░]{10,} +\d+% .*\/s +\d+s left$/m)
    expect(await program.ended).toBe(1)
    expect(await program.screen()).toEqual([
      'large.bin: fine, application/octet-stream, 1 GiB',
      `bad.jsonl:1: ${noId}`,
      'coffer: 1 fault.',
    ])
  })

  it('shows how far it is also while it counts tokens', async () => {
    await write('train.jsonl', lines(chat).repeat(200_000))
    using program = run('coffer check train.jsonl -p fine-tune')
    expect(await program.ended).toBe(0)
    expect(program.raw).toMatch(/train\.jsonl +█+░+ +\d\d?% /)
    expect(program.raw).toMatch(/train\.jsonl: fine, 200,000 lines, [\d,]+ tokens\r\n/)
  })

  it('ends at Ctrl-C while it waits for standard input, and keeps nothing of it', async () => {
    await mkdir(at('temporary'))
    // Whoever writes to the pipe stays, and ends with the test.
    const line =
      'mkfifo pipe; sleep 30 > pipe & coffer check - -p batch < pipe; echo "code $?"; kill %1'
    using program = run(line)
    await expect.poll(copies, { timeout: 20_000 }).not.toEqual([])
    await stopsAtOnce(program)
    expect(await copies()).toEqual([])
  })

  it('ends at Ctrl-C while it reads', async () => {
    await writeFile(at('large.bin'), '')
    await truncate(at('large.bin'), 8 * GiB)
    using program = run('coffer check large.bin -p user_data; echo "code $?"')
    await shown(program, /^large\.bin .*%/m)
    await stopsAtOnce(program)
  })

  it('ends at Ctrl-C while it takes a document apart', async () => {
    const document = new PdfDocument({ autoFirstPage: false })
    for (let page = 0; page < 600; page += 1) {
      document.addPage().fontSize(6).text('The quick brown fox jumps on. '.repeat(180))
    }
    document.end()
    await write('long.pdf', await buffer(document))
    using program = run('coffer check long.pdf -p assistants; echo "code $?"')
    await shown(program, /^long\.pdf .*%/m)
    await stopsAtOnce(program)
  })
})

describe('coffer upload of content that is refused', () => {
  it('lists the first faults as check does, and sends the rest', async () => {
    await using coffer = await startCoffer()
    const env = { OPENAI_BASE_URL: `${coffer.url}/v1`, OPENAI_API_KEY: coffer.key }
    const bad = await write('bad.jsonl', lines(request('1')) + lines(request(undefined)).repeat(13))
    const single = await write('single.jsonl', lines(request(undefined)))
    const good = await write('good.jsonl', lines(request('1')))
    const args = ['upload', bad, single, good, '--purpose', 'batch', '--parallel', '1']
    for (const json of [[], ['--json']]) {
      const { code, stdout, stderr } = await runFake([...args, ...json], { env })
      expect(code).toBe(1)
      expect(stdout).toMatch(/^\S.*good\.jsonl.*\n$/)
      expect(stderr).toBe(
        `Not uploaded: ${bad}: Line 2: ${noId} (The first of 13 faults.)\n` +
          [2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((line) => `${bad}:${line}: ${noId}\n`).join('') +
          `${bad}: … and 3 more\n` +
          `Not uploaded: ${single}: Line 1: ${noId}\n` +
          'coffer: 1 uploaded, 2 not.\n',
      )
    }
  })
})
