import { chmod, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import stringWidth from 'string-width'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { run } from '../src/run.ts'
import { commandNames } from './command-names.ts'
import { type FakeOptions, fakeIo, type Outcome, runFake } from './fake-io.ts'
import { servingFiles, startScripted } from './scripted-server.ts'
import {
  type Coffer,
  type Folder,
  makeFolder,
  repository,
  runProgram,
  startCoffer,
} from './start-coffer.ts'

const MiB = 1024 * 1024

let coffer: Coffer
let folder: Folder
beforeAll(async () => {
  coffer = await startCoffer()
})
afterAll(() => coffer?.[Symbol.asyncDispose]())
beforeEach(async () => {
  folder = await makeFolder()
})
afterEach(async () => {
  await folder[Symbol.asyncDispose]()
  const { stdout } = await go(['list', '--all', '--json'])
  if (stdout !== '') await go(['delete', '-', '--yes'], { stdin: stdout })
})

function go(args: readonly string[], options: FakeOptions = {}): Promise<Outcome> {
  const env = { OPENAI_BASE_URL: `${coffer.url}/v1`, OPENAI_API_KEY: coffer.key }
  return runFake(args, { env, ...options })
}

const at = (...names: string[]) => join(folder.path, ...names)
const idsOf = (text: string) => text.match(/^file-\w+/gm) ?? []

async function write(name: string, content: string | Uint8Array = name): Promise<string> {
  await mkdir(join(at(name), '..'), { recursive: true })
  await writeFile(at(name), content)
  return at(name)
}

/** Uploads a text and gives its id. */
async function add(name: string, content = name, ...options: string[]): Promise<string> {
  const { stdout } = await go(['upload', '-', '--name', name, ...options], { stdin: content })
  return idsOf(stdout)[0] ?? ''
}

async function namesAtServer(): Promise<string[]> {
  const { stdout } = await go(['list', '--all', '--json'])
  const lines = stdout.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line).filename).sort()
}

describe('coffer upload', () => {
  it('sends several files and standard input at once, and prints the id and name of each', async () => {
    const [one, two] = [await write('one.txt'), await write('two.txt')]
    const outcome = await go(['upload', one, '-', two], { stdin: 'piped' })
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    const lines = outcome.stdout
      .trimEnd()
      .split('\n')
      .sort((a, b) => a.slice(30).localeCompare(b.slice(30)))
    expect(lines).toEqual([
      expect.stringMatching(/^file-\w+ {2}one\.txt$/),
      expect.stringMatching(/^file-\w+ {2}stdin$/),
      expect.stringMatching(/^file-\w+ {2}two\.txt$/),
    ])
    expect(await namesAtServer()).toEqual(['one.txt', 'stdin', 'two.txt'])
  })

  it('sends a folder with all below it, and says what it skips and why', async () => {
    await write('folder/b.txt')
    await write('folder/deep/a.txt')
    await write('folder/.hidden')
    await mkdir(at('folder/void'))
    await symlink(at('folder/b.txt'), at('folder/link'))
    const { code, stderr } = await go(['upload', at('folder')])
    expect(code).toBe(0)
    expect(stderr.split('\n').sort()).toEqual([
      '',
      `Skipped: ${at('folder/.hidden')}: It is hidden.`,
      `Skipped: ${at('folder/link')}: It is a link.`,
      `Skipped: ${at('folder/void')}: The folder is empty.`,
    ])
    expect(await namesAtServer()).toEqual(['a.txt', 'b.txt'])
  })

  it('takes a hidden file, a link and an empty file that are given by name', async () => {
    await symlink(await write('real.txt', 'real'), at('link'))
    const { code } = await go([
      'upload',
      await write('.hidden'),
      at('link'),
      await write('empty', ''),
    ])
    expect(code).toBe(0)
    expect(await namesAtServer()).toEqual(['.hidden', 'empty', 'link'])
  })

  it('takes patterns, and sends what is meant twice once', async () => {
    await write('folder/one.txt')
    await write('folder/deep/two.txt')
    await write('folder/three.md')
    await go(['upload', at('folder/**'), at('folder/*.txt'), at('folder')])
    expect(await namesAtServer()).toEqual(['one.txt', 'three.md', 'two.txt'])
  })

  it('takes a path that exists as it is, also if it looks like a pattern', async () => {
    await write('a1.txt')
    await go(['upload', await write('a[1].txt')])
    expect(await namesAtServer()).toEqual(['a[1].txt'])
  })

  it('names what is missing, sends the rest and ends with 1', async () => {
    const paths = [at('none'), at('*.none'), await write('one.txt')]
    const { code, stdout, stderr } = await go(['upload', ...paths, '--parallel', '1'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^file-\w+ {2}one\.txt\n$/)
    expect(stderr).toBe(
      `Not uploaded: ${at('none')}: There is no such file.\n` +
        `Not uploaded: ${at('*.none')}: No file matches it.\n` +
        'coffer: 1 uploaded, 2 not.\n',
    )
  })

  it('names a link that leads nowhere, and one that leads in a circle', async () => {
    await symlink(at('nowhere'), at('broken'))
    await symlink(at('circle'), at('circle'))
    const { code, stderr } = await go(['upload', at('broken'), at('circle'), '--parallel', '1'])
    expect(code).toBe(1)
    expect(stderr).toContain(`${at('broken')}: there is no such file or folder.\n`)
    expect(stderr).toContain(`${at('circle')}: its links lead in a circle.\n`)
  })

  // The superuser may read everything, so the test steps down for a moment.
  const canStepDown = process.getuid?.() === 0
  it.skipIf(!canStepDown)(
    'names a file and a folder that may not be read, and sends the rest',
    async () => {
      await chmod(folder.path, 0o755)
      await chmod(await write('open/secret.txt'), 0)
      await write('open/closed/x.txt')
      await write('open/one.txt')
      await chmod(at('open/closed'), 0)
      process.seteuid?.(65534)
      const outcome = await go(['upload', at('open')]).finally(() => process.seteuid?.(0))
      expect(outcome.code).toBe(1)
      expect(outcome.stderr.split('\n').sort()).toEqual([
        '',
        `Not uploaded: ${at('open/closed')}: it may not be read or written by you.`,
        `Not uploaded: ${at('open/secret.txt')}: it may not be read or written by you.`,
        'coffer: 1 uploaded, 2 not.',
      ])
    },
  )

  it('says that a file changed while it was read, and blames no connection', async () => {
    const path = await write('shrinking.bin')
    await truncate(path, 64 * MiB)
    await using server = await startScripted(async (request, response) => {
      await truncate(path, MiB)
      request.resume().on('close', () => response.destroy())
    })
    const { code, stderr } = await runFake(['upload', path], { env: server.env })
    expect(code).toBe(1)
    expect(stderr).toBe(`Not uploaded: ${path}: ${path} changed while it was read.\n`)
  })

  it('names a file that is gone when its turn comes', async () => {
    await write('folder/a.txt')
    await write('folder/b.txt')
    await using server = await startScripted(async (request, response) => {
      await rm(at('folder/b.txt'))
      request.resume().on('end', () => response.end('{"id":"file-1","filename":"a.txt"}'))
    })
    const args = ['upload', at('folder'), '--parallel', '1']
    const { code, stdout, stderr } = await runFake(args, { env: server.env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'file-1  a.txt\n' })
    expect(stderr).toContain(`${at('folder/b.txt')}: there is no such file or folder.\n`)
  })

  it('gives a single file the name, and refuses to name several', async () => {
    await go(['upload', await write('one.txt'), '--name', 'other.txt'])
    expect(await namesAtServer()).toEqual(['other.txt'])
    await write('folder/a.txt')
    await write('folder/b.txt')
    const { code, stderr } = await go(['upload', at('folder'), '--name', 'x'])
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'coffer: There are several files, and --name can name only one; leave it out.\n',
    })
    expect(await namesAtServer()).toEqual(['other.txt'])
  })

  it('passes the purpose and the time to live on', async () => {
    const path = await write('one.txt')
    const options = ['--purpose', 'assistants', '--expires-after', '3600', '--json']
    const { stdout } = await go(['upload', path, ...options])
    const file = JSON.parse(stdout)
    expect(file).toMatchObject({
      purpose: 'assistants',
      filename: 'one.txt',
      bytes: path.length - folder.path.length - 1,
    })
    expect(file.expires_at - file.created_at).toBe(3600)
  })

  it('tells what the server says of a wrong purpose', async () => {
    const { code, stderr } = await go(['upload', await write('one.txt'), '--purpose', 'nonsense'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Not uploaded: \S+one\.txt: .*nonsense.*\n$/)
  })

  it.each(['0', '-1', '1.5', 'many', ''])('refuses %j as a count', async (count) => {
    for (const option of ['--parallel', '--expires-after']) {
      const { code, stderr } = await go(['upload', 'x', `${option}=${count}`])
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: `coffer: ${option} takes a whole number from 1 on.\n`,
      })
    }
  })

  it('sends bytes as they are', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 * 40 }, (_, index) => index % 256))
    const { stdout } = await go(['upload', await write('all.bin', bytes)])
    await go(['download', '-', '--output', at('back.bin')], { stdin: stdout })
    expect((await readFile(at('back.bin'))).equals(bytes)).toBe(true)
  })
})

describe('coffer list', () => {
  it('says that there are no files, and prints nothing', async () => {
    expect(await go(['list'])).toEqual({ code: 0, stdout: '', stderr: 'There are no files.\n' })
    expect(await go(['list', '--json'])).toEqual({ code: 0, stdout: '', stderr: '' })
  })

  it('prints a table with sizes and ages, the newest first', async () => {
    const first = await add('first.txt', 'x'.repeat(1536))
    const second = await add('second.jsonl', '{"item":{}}', '--purpose', 'evals')
    const { stdout } = await go(['list'])
    expect(stdout.replace(/\d+ seconds?/g, 'AGO').replace(/ +/g, ' ')).toBe(
      `ID NAME PURPOSE SIZE AGE\n${second} second.jsonl evals 11 B AGO\n` +
        `${first} first.txt user_data 1.5 KiB AGO\n`,
    )
  })

  it('takes --purpose, --order, --after and --limit, and says how to see more', async () => {
    const ids = [await add('a'), await add('b'), await add('c')]
    const asc = ['list', '--order', 'asc']
    const { stdout: two, stderr } = await go([...asc, '--limit', '2'])
    expect(idsOf(two)).toEqual(ids.slice(0, 2))
    expect(stderr).toBe(`There are more; see them with --after ${ids[1]}, or --all.\n`)
    expect(idsOf((await go([...asc, '--after', ids[1] ?? ''])).stdout)).toEqual(ids.slice(2))
    expect(idsOf((await go(['list', '--purpose', 'batch'])).stdout)).toEqual([])
  })

  it('prints every page with --all, under one head', async () => {
    const ids: string[] = []
    for (const name of ['a', 'b', 'c', 'd', 'e']) ids.unshift(await add(name))
    const table = await go(['list', '--all', '--limit', '2'])
    expect(idsOf(table.stdout)).toEqual(ids)
    expect(table.stdout.match(/NAME/g)).toHaveLength(1)
    expect(table.stderr).toBe('')
    const json = await go(['list', '--all', '--limit', '2', '--json'])
    expect(
      json.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ).toEqual(ids)
  })

  it('keeps the columns of all pages below one another', async () => {
    await add('a name that is longer than the others.txt')
    await add('b')
    const { stdout } = await go(['list', '--all', '--limit', '1'])
    const columns = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.search(/PURPOSE|user_data/))
    expect(new Set(columns).size).toBe(1)
  })

  it.each(['0', '-1', 'x', '10001'])('refuses --limit %s', async (limit) => {
    expect(await go(['list', `--limit=${limit}`])).toMatchObject({
      code: 2,
      stderr: 'coffer: --limit takes a whole number from 1 to 10000.\n',
    })
  })

  it('never prints a line that is wider than the terminal', async () => {
    const names = [
      '文件名'.repeat(20),
      '👩‍👩‍👧‍👦'.repeat(12),
      `${'long '.repeat(30)}.txt`,
      'é'.repeat(50),
      'x',
    ]
    for (const name of names) await add(name)
    for (let columns = 20; columns <= 200; columns += 1) {
      const { stdout } = await go(['list'], { columns })
      const lines = stdout.trimEnd().split('\n')
      expect(lines).toHaveLength(names.length + 1)
      for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(columns)
      if (columns >= 37) expect(lines[1]).toMatch(/^file-\w{22} {2}\S/)
      else expect(lines[0]).toBe('ID')
      if (columns >= 80) expect(lines[0]).toMatch(/^ID +NAME +PURPOSE +SIZE +AGE$/)
    }
  })

  it('cuts nothing where it is piped', async () => {
    await add('long '.repeat(30))
    expect((await go(['list'])).stdout).toContain('long '.repeat(30).trim())
  })

  it('shows files of which another server tells little', async () => {
    await using server = await startScripted(
      servingFiles([{ id: 'file-1' }, { id: 'file-2', bytes: 'x', created_at: null }]),
    )
    const { code, stdout } = await runFake(['list'], { env: server.env })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^file-1 .*\?/m)
    expect(await runFake(['show', 'file-1'], { env: server.env })).toMatchObject({ code: 0 })
  })
})

describe('coffer show', () => {
  it('tells all that is known, for people and as JSON', async () => {
    const id = await add('a.txt', 'four', '--expires-after', '7200')
    const { stdout } = await go(['show', id])
    expect(stdout).toMatch(
      /^id: {7}file-\w+\nname: {5}a\.txt\npurpose: {2}user_data\nsize: {5}4 B \(4 bytes\)\ncreated: {2}\d{4}-.* UTC \(\d+ seconds? ago\)\nexpires: {2}.* UTC \(in .+\)\nstatus: {3}processed\n$/,
    )
    const { stdout: json } = await go(['show', id, '--json'])
    expect(JSON.parse(json)).toMatchObject({ id, bytes: 4 })
  })

  it('shows what there is of several files, and names the rest', async () => {
    const id = await add('a.txt')
    const { code, stdout, stderr } = await go(['show', 'file-none', id])
    expect(code).toBe(1)
    expect(stdout).toContain('a.txt')
    expect(stderr).toMatch(
      /^Not shown: file-none: No such File object: file-none\ncoffer: 1 shown, 1 not\.\n$/,
    )
  })
})

describe('ids on standard input', () => {
  it.each([
    ['words', (ids: string[]) => `${ids.join('\n')}\n\n`],
    ['a table', (ids: string[]) => `ID  NAME\r\n${ids.map((id) => `${id}  x y\r\n`).join('')}`],
    ['lines of JSON', (ids: string[]) => ids.map((id) => `{"id":"${id}"}\n`).join('')],
  ])('may be %s', async (_, toText) => {
    const ids = [await add('a'), await add('b')]
    const { code, stdout } = await go(['show', '-', '--json'], { stdin: toText(ids) })
    expect(code).toBe(0)
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ).toEqual(ids)
  })

  it('count once, also beside ids that are given', async () => {
    const id = await add('a')
    const { stdout } = await go(['show', id, '-', '-', '--json'], { stdin: `${id}\n${id}` })
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
  })

  it.each([
    ['', 'Which files? Give their ids, or - to read them.'],
    ['{"id"', 'Standard input has a line that is no JSON: {"id"'],
    ['{\u001b[2J', 'Standard input has a line that is no JSON: {\ufffd[2J'],
    ['{"id":5}', 'Standard input has a line without an id: {"id":5}'],
  ])('that are %j are refused', async (stdin, sentence) => {
    expect(await go(['show', '-'], { stdin })).toEqual({
      code: 2,
      stdout: '',
      stderr: `coffer: ${sentence}\n`,
    })
  })
})

describe('coffer download', () => {
  it('writes files under their names, and leaves nothing beside them', async () => {
    const ids = [await add('a.txt', 'A'), await add('b.txt', 'B')]
    const { code, stdout } = await go(['download', ...ids, '--output', `${at('new/folder')}/`])
    expect(code).toBe(0)
    expect(stdout.split('\n').sort()).toEqual(
      ['', `${ids[0]}  ${at('new/folder/a.txt')}`, `${ids[1]}  ${at('new/folder/b.txt')}`].sort(),
    )
    expect(await readdir(at('new/folder'))).toEqual(['a.txt', 'b.txt'])
    expect(await readFile(at('new/folder/b.txt'), 'utf8')).toBe('B')
  })

  it('gives files of the same name names of their own, also with --force', async () => {
    const ids = [await add('a.txt', '1'), await add('a.txt', '2'), await add('A.txt', '3')]
    for (const force of [[], ['--force']]) {
      const { code } = await go(['download', ...ids, '--output', `${at('there')}/`, ...force])
      expect(code).toBe(0)
      const texts = ['a.txt', `${ids[1]}-a.txt`, `${ids[2]}-A.txt`].map((name) =>
        readFile(at('there', name), 'utf8'),
      )
      expect(await Promise.all(texts)).toEqual(['1', '2', '3'])
    }
    expect(await readdir(at('there'))).toHaveLength(3)
  })

  it('replaces nothing without --force, and says how', async () => {
    const id = await add('a.txt', 'new')
    await write('a.txt', 'old')
    const refused = await go(['download', id, '--output', folder.path])
    expect(refused).toEqual({
      code: 1,
      stdout: '',
      stderr: `Not downloaded: ${id}: ${at('a.txt')} is there already; replace it with --force, or give another --output.\n`,
    })
    expect(await readFile(at('a.txt'), 'utf8')).toBe('old')
    expect((await go(['download', id, '--output', folder.path, '--force'])).code).toBe(0)
    expect(await readFile(at('a.txt'), 'utf8')).toBe('new')
  })

  it('writes to standard output, one after the other', async () => {
    const ids = [await add('a', 'A\n'), await add('b', 'B\n')]
    expect(await go(['download', ...ids, '--output', '-'])).toEqual({
      code: 0,
      stdout: 'A\nB\n',
      stderr: '',
    })
  })

  it('fetches the rest when one id is wrong', async () => {
    const id = await add('a.txt')
    const { code, stderr } = await go(['download', 'file-none', id, '--output', folder.path])
    expect(code).toBe(1)
    expect(stderr).toBe(
      'Not downloaded: file-none: No such File object: file-none\ncoffer: 1 downloaded, 1 not.\n',
    )
    expect(await readdir(folder.path)).toEqual(['a.txt'])
  })

  it('wants a folder for several files, and one that is there for one', async () => {
    const several = await go(['download', 'file-a', 'file-b', '--output', at('none')])
    expect(several).toMatchObject({
      code: 2,
      stderr: 'coffer: Several files need a folder; end --output with / to make one.\n',
    })
    const id = await add('a.txt')
    const { code, stderr } = await go(['download', id, '--output', at('none/a.txt')])
    expect(code).toBe(1)
    expect(stderr).toContain(`${id}: there is no such file or folder.`)
  })

  it('goes on where it broke off', async () => {
    const content = 'x'.repeat(50_000)
    const id = await add('a.txt', content)
    const { headers } = await coffer.fetch(`/v1/files/${id}/content`)
    const etag = Buffer.from(headers.get('etag') ?? '').toString('base64url')
    await write(`.a.txt.${etag}.coffer-part`, content.slice(0, 20_000))
    expect((await go(['download', id, '--output', folder.path])).code).toBe(0)
    expect(await readFile(at('a.txt'), 'utf8')).toBe(content)
    expect(await readdir(folder.path)).toEqual(['a.txt'])
  })
})

describe('coffer delete', () => {
  it('wants --yes where nobody can be asked', async () => {
    const id = await add('a')
    expect(await go(['delete', id])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'coffer: Nobody can be asked here; give --yes to delete without a question.\n',
    })
    expect(await namesAtServer()).toEqual(['a'])
  })

  it('deletes what there is, prints the ids, and names the rest', async () => {
    const ids = [await add('a'), await add('b')]
    const { code, stdout, stderr } = await go(['delete', ...ids, 'file-none', '--yes'])
    expect(code).toBe(1)
    expect(idsOf(stdout).sort()).toEqual(ids.sort())
    expect(stderr).toBe(
      'Not deleted: file-none: No such File object: file-none\ncoffer: 2 deleted, 1 not.\n',
    )
    expect(await namesAtServer()).toEqual([])
  })
})

describe('names that a server gives', () => {
  const evil = '\u001b[2J\u009b31m\u202egpj.\u2066exe\r\n\u0007\u2028'
  /** All but the ends of lines. */
  const steering = /(?!\n)[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u
  const file = {
    id: 'file-1',
    bytes: 5,
    created_at: 0,
    filename: evil,
    purpose: evil,
    status: evil,
  }

  it.each([
    ['list'],
    ['list', '--json'],
    ['show', 'file-1'],
    ['show', 'file-1', '--json'],
    ['upload', '-'],
  ])('never steer the terminal: %j', async (...args) => {
    await using server = await startScripted((request, response) => {
      if (request.method !== 'POST') return servingFiles([file])(request, response)
      request.resume().on('end', () => response.end(JSON.stringify(file)))
    })
    const { code, stdout, stderr } = await runFake(args, { env: server.env })
    expect(code).toBe(0)
    expect(stdout).toContain('gpj.')
    expect(stdout + stderr).not.toMatch(steering)
    if (args.includes('--json')) expect(JSON.parse(stdout)).toEqual(file)
  })

  it('nor do its messages', async () => {
    await using server = await startScripted((_, response) => {
      response.writeHead(400).end(JSON.stringify({ error: { message: `Bad ${evil}` } }))
    })
    const { code, stderr } = await runFake(['list'], { env: server.env })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^coffer: Bad .*\n$/)
    expect(stderr).not.toMatch(steering)
  })

  it.each([
    ['../../x', 'x'],
    ['/etc/passwd', 'passwd'],
    ['..\\..\\x.exe', 'x.exe'],
    ['..', 'file-1'],
    ['.', 'file-1'],
    ['', 'file-1'],
    ['a/', 'file-1'],
    ['a\0b', 'a\ufffdb'],
    ['a\nb\u202e', 'a\ufffdb\ufffd'],
  ])('lead nowhere but into the folder: %j', async (filename, name) => {
    await using server = await startScripted(servingFiles([{ ...file, filename }]))
    const { code, stdout } = await runFake(['download', 'file-1', '--output', `${at('a/b')}/`], {
      env: server.env,
    })
    expect(code).toBe(0)
    expect(stdout).toBe(`file-1  ${at('a/b', name)}\n`)
    expect(await readdir(at('a/b'))).toEqual([name])
    expect(await readdir(folder.path)).toEqual(['a'])
  })

  it('nor do ids, where they become a name', async () => {
    const id = '../../../x'
    await using server = await startScripted(servingFiles([{ ...file, id, filename: '' }]))
    await runFake(['download', id, '--output', `${at('a/b')}/`], { env: server.env })
    expect(await readdir(at('a/b'))).toEqual(['x'])
  })
})

describe('a problem', () => {
  const given = () => ({ OPENAI_BASE_URL: `${coffer.url}/v1`, OPENAI_API_KEY: coffer.key })

  it.each([
    [
      { OPENAI_BASE_URL: undefined },
      2,
      /^coffer: Which server\? Set OPENAI_BASE_URL or give --url http:\/\/HOST:PORT\/v1\n$/,
    ],
    [{ OPENAI_API_KEY: '' }, 2, /^coffer: Which API key\? Set OPENAI_API_KEY or give --key\n$/],
    [
      { OPENAI_BASE_URL: 'localhost:1' },
      2,
      /^coffer: localhost:1 is no URL; give one as http:\/\/HOST:PORT\/v1\n$/,
    ],
    [{ OPENAI_API_KEY: 'sk-wrong' }, 1, /^coffer: .* Look at OPENAI_API_KEY or --key\.\n$/],
    [
      { OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' },
      1,
      /^coffer: The connection to 127\.0\.0\.1:9 failed.*\. Is the server running, and is OPENAI_BASE_URL or --url right\?\n$|^coffer: The connection to http:\/\/127\.0\.0\.1:9\/v1 failed.*Is the server running.*\n$/,
    ],
  ])('is one line that says what to do: %o', async (env, code, sentence) => {
    const outcome = await go(['list'], { env: { ...given(), ...env } })
    expect(outcome.stdout).toBe('')
    expect(outcome.stderr).toMatch(sentence)
    expect(outcome.code).toBe(code)
  })

  it('--url and --key come before the environment', async () => {
    const env = { OPENAI_BASE_URL: 'http://127.0.0.1:9', OPENAI_API_KEY: 'wrong' }
    const args = ['list', '--url', `${coffer.url}/v1/`, '--key', coffer.key]
    expect(await go(args, { env })).toMatchObject({ code: 0 })
  })

  it.each([
    [['uplod'], "coffer: unknown command 'uplod' (Did you mean upload?) See coffer --help.\n"],
    [['upload'], "coffer: missing required argument 'paths'. See coffer upload --help.\n"],
    [
      ['list', '--al'],
      "coffer: unknown option '--al' (Did you mean --all?) See coffer list --help.\n",
    ],
    [
      ['list', '--order', 'up'],
      "coffer: option '--order <order>' argument 'up' is invalid. Allowed choices are asc, desc. See coffer list --help.\n",
    ],
    [['complete'], 'coffer: Which shell? Give bash, zsh or fish: source <(coffer complete bash)\n'],
    [
      ['complete', 'tcsh'],
      "coffer: command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish. See coffer complete --help.\n",
    ],
  ])('of wrong use ends with 2: %j', async (args, stderr) => {
    expect(await go(args)).toEqual({ code: 2, stdout: '', stderr })
  })

  it('of no command at all shows the help', async () => {
    const { code, stderr } = await go([])
    expect(code).toBe(2)
    expect(stderr).toMatch(/^Usage: coffer/)
  })

  it.each(commandNames)('is not to ask for the help of coffer %s', async (command) => {
    const outcome = await go([command, '--help'])
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    expect(outcome.stdout).toMatch(`Usage: coffer ${command}`)
    expect(await go(['help', command])).toEqual(outcome)
    for (const line of outcome.stdout.split('\n')) {
      if (command !== 'serve') expect(line.length).toBeLessThanOrEqual(90)
    }
  })
})

describe('Ctrl-C', () => {
  it('while ids are read ends at once with 130', async () => {
    const env = { OPENAI_BASE_URL: `${coffer.url}/v1`, OPENAI_API_KEY: coffer.key }
    const io = fakeIo({ env, stdin: new PassThrough() })
    const code = run(['show', '-'], io)
    await expect.poll(() => io.listenerCount('SIGINT')).toBe(1)
    io.emit('SIGINT')
    expect(await code).toBe(130)
    expect(io.written.stderr).toBe('coffer: Stopped.\n')
    expect(io.listenerCount('SIGINT') + io.listenerCount('SIGTERM')).toBe(0)
  })
})

describe('the start', () => {
  const hook = `import { registerHooks } from 'node:module'
    registerHooks({ load(url, context, next) { console.error(url); return next(url, context) } })`
  const NODE_OPTIONS = `--import data:text/javascript,${encodeURIComponent(hook)}`

  it.each([[['--help']], [['list']], [['upload', '-']]])(
    'loads neither the server nor what draws tables: %j',
    async (args) => {
      await using program = runProgram(join(repository, 'node_modules', '.bin', 'coffer'), args, {
        env: { OPENAI_BASE_URL: `${coffer.url}/v1`, OPENAI_API_KEY: coffer.key, NODE_OPTIONS },
      })
      await program.ended
      expect(program.stderr).toContain('/packages/cli/src/run.ts')
      expect(program.stderr).not.toMatch(/packages\/server|fastify|pino|zod|string-width/)
    },
  )
})
