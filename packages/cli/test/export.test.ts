import { createHash, randomBytes } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ProxiedRequest, startProxy } from '../../client/test/proxy.ts'
import { run } from '../src/run.ts'
import { fakeIo, runFake } from './fake-io.ts'
import { servingFiles, startScripted } from './scripted-server.ts'
import {
  type Coffer,
  cofferProgram,
  type Folder,
  makeFolder,
  runCoffer,
  runProgram,
  startCoffer,
} from './start-coffer.ts'
import { type AtServer, type Service, serviceOf } from './two-services.ts'

const MiB = 1024 * 1024
const soon = { timeout: 20_000, interval: 10 }

let coffer: Coffer
let service: Service
let folder: Folder
beforeAll(async () => {
  coffer = await startCoffer()
  service = serviceOf(coffer)
})
afterAll(() => coffer?.[Symbol.asyncDispose]())
beforeEach(async () => {
  folder = await makeFolder()
})
afterEach(async () => {
  await folder[Symbol.asyncDispose]()
  await service.clear()
})

const at = (...names: string[]) => join(folder.path, ...names)
const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')
const isContent = ({ url }: ProxiedRequest) => url.endsWith('/content')

interface Line {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  readonly file: AtServer
}

async function linesOf(path: string): Promise<Line[]> {
  const text = await readFile(path, 'utf8')
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
}

/** Holds the manifest against the bytes, and gives the bytes by the files' names. */
async function readExport(place: string): Promise<Record<string, string>> {
  const texts: Record<string, string> = {}
  for (const line of await linesOf(join(place, 'manifest.jsonl'))) {
    const content = await readFile(join(place, line.path))
    expect(line).toMatchObject({ bytes: content.length, sha256: sha256(content) })
    texts[line.file.filename] = content.toString()
  }
  return texts
}

describe('coffer export to a folder', () => {
  it('writes each file under its id and name, and a line of the manifest for it', async () => {
    const one = await service.add({ name: 'one.txt', content: 'first' })
    const two = await service.add({ name: 'one.txt', content: 'second', purpose: 'assistants' })
    const { code, stdout, stderr } = await service.go(['export', at('there')])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '2 files exported, 11 B.\n' })
    const paths = [`files/${one.id}/one.txt`, `files/${two.id}/one.txt`]
    expect(stdout.split('\n').sort()).toEqual(
      ['', `${one.id}  ${paths[0]}`, `${two.id}  ${paths[1]}`].sort(),
    )
    expect(await readFile(at('there', paths[1] ?? ''), 'utf8')).toBe('second')
    const lines = await linesOf(at('there/manifest.jsonl'))
    expect(lines.sort((a, b) => a.bytes - b.bytes)).toEqual([
      { path: paths[0], bytes: 5, sha256: sha256('first'), file: one },
      { path: paths[1], bytes: 6, sha256: sha256('second'), file: two },
    ])
    expect(await readdir(at('there', 'files', one.id))).toEqual(['one.txt'])
  })

  it('prints the lines of the manifest with --json', async () => {
    await service.add({ name: 'one.txt' })
    const { stdout } = await service.go(['export', at('there'), '--json'])
    expect(stdout).toBe(await readFile(at('there/manifest.jsonl'), 'utf8'))
  })

  it('writes an empty manifest of an empty project', async () => {
    const outcome = await service.go(['export', at('there')])
    expect(outcome).toEqual({ code: 0, stdout: '', stderr: '0 files exported, 0 B.\n' })
    expect(await readdir(at('there'))).toEqual(['manifest.jsonl'])
    expect(await linesOf(at('there/manifest.jsonl'))).toEqual([])
  })

  it('writes files of 0 bytes', async () => {
    await service.add({ name: 'empty', content: '' })
    expect((await service.go(['export', at('there')])).code).toBe(0)
    expect(await readExport(at('there'))).toEqual({ empty: '' })
  })

  it('loads nothing again that is there as the manifest says, and mends the rest', async () => {
    const files: AtServer[] = []
    for (const name of ['kept', 'changed', 'cut', 'lost']) files.push(await service.add({ name }))
    const place = ({ id, filename }: AtServer) => at('there/files', id, filename)
    await service.go(['export', at('there')])
    const [kept, changed, cut, lost] = files.map(place)
    const before = await stat(kept ?? '')
    await writeFile(changed ?? '', 'CHANGED')
    await writeFile(cut ?? '', 'c')
    await rm(lost ?? '')
    await service.add({ name: 'new' })
    await using proxy = await startProxy(coffer.url)
    const args = ['export', at('there'), '--url', `${proxy.url}/v1`]
    const { code, stdout, stderr } = await service.go(args)
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: '4 files exported, 17 B, and 1 there already.\n',
    })
    expect(stdout).not.toContain('kept')
    expect(proxy.requests.filter(isContent)).toHaveLength(4)
    expect(await readExport(at('there'))).toEqual({
      ...{ kept: 'kept', changed: 'changed', cut: 'cut', lost: 'lost', new: 'new' },
    })
    expect((await stat(kept ?? '')).ino).toBe(before.ino)
  })

  it('goes on after kill -9, with half a file and half a line', async () => {
    const content = randomBytes(2 * MiB)
    await service.add({ name: 'small.txt' })
    const large = await service.add({ name: 'large.bin', content })
    await using halting = await startProxy(coffer.url, { haltAfter: () => MiB })
    await using program = runCoffer(['export', at('there'), '--url', `${halting.url}/v1`], {
      ...service.env,
    })
    await program.printed(/small\.txt\n/)
    const inside = at('there/files', large.id)
    await expect
      .poll(async () => {
        const [draft] = await readdir(inside).catch(() => [])
        return draft === undefined ? 0 : (await stat(join(inside, draft))).size
      }, soon)
      .toBeGreaterThan(0)
    program.signal('SIGKILL')
    await program.ended
    expect(await readdir(inside)).toEqual([expect.stringMatching(/\.coffer-part$/)])
    await appendFile(at('there/manifest.jsonl'), '{"path":"files/')

    await using proxy = await startProxy(coffer.url)
    const outcome = await service.go(['export', at('there'), '--url', `${proxy.url}/v1`])
    expect(outcome).toMatchObject({
      code: 0,
      stderr: '1 file exported, 2 MiB, and 1 there already.\n',
    })
    const ranges = proxy.requests.filter(isContent).map(({ headers }) => headers.range)
    expect(ranges).toEqual([expect.stringMatching(/^bytes=\d+-$/)])
    expect(await readdir(inside)).toEqual(['large.bin'])
    expect((await readFile(join(inside, 'large.bin'))).equals(content)).toBe(true)
    const again = await service.go(['export', at('there')])
    expect(again.stderr).toBe('0 files exported, 0 B, and 2 there already.\n')
  })
})

describe('a file that cannot be exported', () => {
  it('is told with its reason, and the rest is exported', async () => {
    await using strict = await startCoffer({ env: { COFFER_PROFILE: 'openai' } })
    const other = serviceOf(strict)
    const refused = await other.add({ name: 'mine.txt' })
    await other.add({ name: 'lines.jsonl', content: '{"item":{}}', purpose: 'evals' })
    for (const destination of [at('there'), at('there.tar')]) {
      const { code, stdout, stderr } = await other.go(['export', destination])
      expect(code).toBe(1)
      expect(stdout).toMatch(/^file-\w+ {2}files\/file-\w+\/lines\.jsonl\n$/)
      expect(stderr).toBe(
        `Not exported: ${refused.id}: Not allowed to download files of purpose: user_data\n` +
          'coffer: 1 exported, 1 not.\n',
      )
    }
    expect(await readdir(at('there/files'))).toHaveLength(1)
    expect(await readExport(at('there'))).toEqual({ 'lines.jsonl': '{"item":{}}' })
  })

  const two = [
    { id: 'file-gone', filename: 'gone.txt', bytes: 5 },
    { id: 'file-there', filename: 'there.txt', bytes: 5 },
  ]

  it.each(['there', 'there.tar'])(
    'is no failure where it was deleted meanwhile: %s',
    async (name) => {
      const honest = servingFiles(two.slice(1))
      await using server = await startScripted((request, response) => {
        if (request.url !== '/v1/files') return honest(request, response)
        response.end(JSON.stringify({ data: two, has_more: false }))
      })
      const outcome = await runFake(['export', at(name)], { env: server.env })
      expect(outcome).toEqual({
        code: 0,
        stdout: 'file-there  files/file-there/there.txt\n',
        stderr: 'Not exported: file-gone: It was deleted meanwhile.\n1 file exported, 5 B.\n',
      })
    },
  )

  it('is a failure where the service gives no content at all', async () => {
    const honest = servingFiles(two)
    await using server = await startScripted((request, response) => {
      if (request.url?.endsWith('/content') !== true) return honest(request, response)
      response.writeHead(404).end('{"error":{"message":"Invalid URL"}}')
    })
    const { code, stderr } = await runFake(['export', at('there')], { env: server.env })
    expect(code).toBe(1)
    expect(stderr).toContain('Not exported: file-gone: Invalid URL\n')
    expect(stderr).toContain('coffer: 0 exported, 2 not.\n')
  })

  it.each(['there', 'there.tar'])('is never half there: %s', async (name) => {
    await using server = await startScripted(servingFiles([{ ...two[0], bytes: 6 }], 'bytes'))
    const { code, stdout, stderr } = await runFake(['export', at(name)], { env: server.env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^Not exported: file-gone: .*\b5\b.*\n$/)
    if (name === 'there') expect(await readdir(at('there/files'))).toEqual([])
  })

  it('is told where the server counts more than it lists', async () => {
    await using server = await startScripted((request, response) => {
      if (request.url !== '/v1/files') return servingFiles(two)(request, response)
      response.end(JSON.stringify({ data: two, total: 5 }))
    })
    const { code, stderr } = await runFake(['export', at('there')], { env: server.env })
    expect(code).toBe(1)
    expect(stderr).toBe(
      'Not exported: 3 files that the server counts and does not list.\n' +
        'coffer: 2 exported, 3 not.\n',
    )
  })
})

describe('names that a server gives', () => {
  it.each([
    ['../../x', 'x'],
    ['..', 'file-1'],
    ['a\0b\u202e', 'a\ufffdb\ufffd'],
    ['NUL', '_NUL'],
    ['con.tar.gz', '_con.tar.gz'],
    ['what? "this": <a|b>*', 'what_ _this__ _a_b__'],
    ['ends with a dot. .', 'ends with a dot_'],
    ['\ud800', '\ufffd'],
    [`${'é'.repeat(200)}.jsonl`, `${'é'.repeat(124)}.jsonl`],
    [`${'x'.repeat(254)}.${'y'.repeat(30)}`, `${'x'.repeat(254)}.`.slice(0, 255)],
  ])('are names of files in the export, and whole in the manifest: %j', async (filename, name) => {
    const file = { id: 'file-1', filename, bytes: 5 }
    await using server = await startScripted(servingFiles([file]))
    const { code } = await runFake(['export', at('there')], { env: server.env })
    expect(code).toBe(0)
    expect(await readdir(at('there/files/file-1'))).toEqual([name])
    expect(await readdir(folder.path)).toEqual(['there'])
    expect((await linesOf(at('there/manifest.jsonl')))[0]?.file.filename).toBe(filename)
    const tar = await runFake(['export', at('there.tar')], { env: server.env })
    expect(tar).toMatchObject({ code: 0 })
    await unpack(at('there.tar'), at('unpacked'))
    expect(await readdir(at('unpacked/files/file-1'))).toEqual([name])
  })

  it('nor do ids lead elsewhere, or two of them to one place', async () => {
    const ids = ['../../../x', 'file-a', 'file-A', 'a/b', 'a?b', 'x'.repeat(300)]
    const files = ids.map((id, number) => ({ id, filename: 'x', bytes: 5, created_at: number }))
    await using server = await startScripted(servingFiles(files))
    const { code } = await runFake(['export', at('there')], { env: server.env })
    expect(code).toBe(0)
    const names = await readdir(at('there/files'))
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(ids.length)
    expect(names).toContain('file-a')
    expect(await readdir(folder.path)).toEqual(['there'])
    expect((await runFake(['export', at('there')], { env: server.env })).stdout).toBe('')
  })

  it('in a manifest lead nowhere', async () => {
    await writeFile(at('secret'), 'bytes')
    await mkdir(at('there'))
    const line = { path: '../secret', bytes: 5, sha256: sha256('bytes'), file: { id: 'file-1' } }
    await writeFile(at('there/manifest.jsonl'), `${JSON.stringify(line)}\n`)
    await using server = await startScripted(servingFiles([{ id: 'file-1', filename: 'x' }]))
    expect((await runFake(['export', at('there')], { env: server.env })).code).toBe(0)
    expect(await readdir(at('there/files/file-1'))).toEqual(['x'])
  })
})

async function unpack(tar: string, place: string): Promise<void> {
  await mkdir(place)
  await using program = runProgram('tar', ['-xf', tar, '-C', place], {
    env: { LC_ALL: 'C.UTF-8' },
  })
  expect(await program.ended, program.stderr).toEqual({ code: 0, signal: null })
}

describe('coffer export to a tar', () => {
  it('writes what a folder would have, for any tar to read, and the manifest last', async () => {
    const name = `${'long '.repeat(48)}.bin`
    const content = randomBytes(3 * MiB + 1)
    const file = await service.add({ name, content })
    await service.add({ name: 'empty', content: '' })
    const { code, stdout, stderr } = await service.go(['export', at('all.tar')])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '2 files exported, 3 MiB.\n' })
    expect(stdout).toContain(`${file.id}  files/${file.id}/${name}\n`)
    expect(await readdir(folder.path)).toEqual(['all.tar'])
    await using list = runProgram('tar', ['-tf', at('all.tar')])
    await list.ended
    expect(list.stdout.trimEnd().split('\n').at(-1)).toBe('manifest.jsonl')
    await unpack(at('all.tar'), at('unpacked'))
    const texts = await readExport(at('unpacked'))
    expect(Object.keys(texts).sort()).toEqual(['empty', name])
    const place = at('unpacked/files', file.id, name)
    expect((await readFile(place)).equals(content)).toBe(true)
    expect((await stat(place)).mtime.getTime()).toBe(file.created_at * 1000)
    // It can be gone on with as a folder.
    const again = await service.go(['export', at('unpacked')])
    expect(again.stderr).toBe('0 files exported, 0 B, and 2 there already.\n')
  })

  it('writes an empty manifest of an empty project', async () => {
    expect((await service.go(['export', at('all.tar')])).code).toBe(0)
    await unpack(at('all.tar'), at('unpacked'))
    expect(await readdir(at('unpacked'))).toEqual(['manifest.jsonl'])
  })

  it('writes to standard output what may be compressed there', async () => {
    await service.add({ name: 'one.txt' })
    await using program = runProgram('bash', ['-c', 'coffer export - | gzip > all.tar.gz'], {
      env: { ...service.env, PATH: `${join(cofferProgram, '..')}:${process.env['PATH']}` },
      folder: folder.path,
    })
    expect(await program.ended).toEqual({ code: 0, signal: null })
    expect(program.stderr).toBe('1 file exported, 7 B.\n')
    await unpack(at('all.tar.gz'), at('unpacked'))
    expect(await readExport(at('unpacked'))).toEqual({ 'one.txt': 'one.txt' })
  })

  it('ends at once where nobody reads on', async () => {
    await service.add({ name: 'large.bin', content: randomBytes(20 * MiB) })
    const line = 'set -o pipefail; coffer export - | head -c 100 > /dev/null'
    await using program = runProgram('bash', ['-c', line], {
      env: { ...service.env, PATH: `${join(cofferProgram, '..')}:${process.env['PATH']}` },
    })
    expect(await program.ended).toEqual({ code: 141, signal: null })
    expect(program.stderr).toBe('')
  })

  it('goes on within an entry where the connection breaks', async () => {
    const content = randomBytes(2 * MiB)
    const file = await service.add({ name: 'a.bin', content })
    await using proxy = await startProxy(coffer.url, { breakAfter: () => MiB })
    const args = ['export', at('all.tar'), '--url', `${proxy.url}/v1`]
    expect(await service.go(args)).toMatchObject({ code: 0 })
    expect(proxy.requests.filter(isContent).length).toBeGreaterThan(1)
    await unpack(at('all.tar'), at('unpacked'))
    const place = at('unpacked/files', file.id, 'a.bin')
    expect((await readFile(place)).equals(content)).toBe(true)
  })

  it('goes on so with a service that knows no ranges', async () => {
    let tries = 0
    await using server = await startScripted((request, response) => {
      if (request.url?.endsWith('/content') !== true) {
        return servingFiles([{ id: 'file-1', filename: 'x', bytes: 10 }])(request, response)
      }
      tries += 1
      response.writeHead(200, { 'content-length': 10 })
      if (tries === 1) response.write('01234', () => response.destroy())
      else response.end('0123456789')
    })
    expect((await runFake(['export', at('all.tar')], { env: server.env })).code).toBe(0)
    await unpack(at('all.tar'), at('unpacked'))
    expect(await readFile(at('unpacked/files/file-1/x'), 'utf8')).toBe('0123456789')
  })

  it('leaves nothing where an entry cannot be ended', async () => {
    await using server = await startScripted((request, response) => {
      if (request.url?.endsWith('/content') !== true) {
        return servingFiles([{ id: 'file-1', filename: 'x', bytes: 10 }])(request, response)
      }
      response.writeHead(200, { 'content-length': 10 })
      response.write('01234', () => response.destroy())
    })
    const { code, stdout, stderr } = await runFake(['export', at('all.tar')], { env: server.env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(
      /^coffer: There is no tar\. It broke off in file-1: The connection .*\n$/,
    )
    expect(await readdir(folder.path)).toEqual([])
  })

  it('replaces nothing', async () => {
    await writeFile(at('all.tar'), 'mine')
    expect(await service.go(['export', at('all.tar')])).toEqual({
      code: 2,
      stdout: '',
      stderr: `coffer: ${at('all.tar')} is there already; give another name.\n`,
    })
    expect(await readFile(at('all.tar'), 'utf8')).toBe('mine')
  })
})

describe('wrong use of coffer export', () => {
  it('is to write a tar on a terminal, or to ask for one that is compressed', async () => {
    const terminal = await service.go(['export', '-'], { columns: 80 })
    expect(terminal).toMatchObject({ code: 2, stdout: '' })
    for (const name of ['x.tar.gz', 'x.tgz', 'x.zip', 'x.tar.zst']) {
      const { code, stderr } = await service.go(['export', at(name)])
      expect(code).toBe(2)
      expect(stderr).toBe(
        `coffer: A tar is not compressed here; do so as it comes: coffer export - | gzip > ${at(name)}\n`,
      )
    }
    expect(await readdir(folder.path)).toEqual([])
  })

  it('is a folder with a manifest of something else', async () => {
    await mkdir(at('there'))
    await writeFile(at('there/manifest.jsonl'), '{"name":"app"}\n')
    await service.add({ name: 'x' })
    const { code, stderr } = await service.go(['export', at('there')])
    expect(code).toBe(1)
    expect(stderr).toBe(
      `coffer: ${at('there/manifest.jsonl')} is there already and is something else: see its line 1.\n`,
    )
    expect(await readFile(at('there/manifest.jsonl'), 'utf8')).toBe('{"name":"app"}\n')
  })
})

describe('Ctrl-C', () => {
  it.each([
    ['there', 'Stopped; the same command goes on from here.', 2],
    ['there.tar', 'Stopped. There is no tar.', 0],
  ])('ends the export to %s', async (name, notice, left) => {
    const content = randomBytes(2 * MiB)
    const { id } = await service.add({ name: 'large.bin', content })
    await using halting = await startProxy(coffer.url, { haltAfter: () => MiB })
    const io = fakeIo({ env: service.env })
    const ended = run(['export', at(name), '--url', `${halting.url}/v1`], io)
    await expect.poll(() => halting.requests.filter(isContent).length, soon).toBe(1)
    const draft = name === 'there' ? at('there/files', id) : folder.path
    await expect.poll(() => readdir(draft).catch(() => []), soon).toHaveLength(1)
    io.emit('SIGINT')
    expect(await ended).toBe(130)
    expect(io.written).toEqual({ stdout: '', stderr: `coffer: ${notice}\n` })
    expect(await readdir(at('there')).catch(() => [])).toHaveLength(left)
    expect(await readdir(folder.path)).toHaveLength(left === 0 ? 0 : 1)
    expect((await service.go(['export', at(name)])).code).toBe(0)
  })
})
