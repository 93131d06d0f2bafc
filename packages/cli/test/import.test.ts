import { randomBytes } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ProxiedRequest, startProxy } from '../../client/test/proxy.ts'
import { run } from '../src/run.ts'
import { fakeIo, type Outcome } from './fake-io.ts'
import { servingFiles, startScripted } from './scripted-server.ts'
import { type Coffer, type Folder, makeFolder, runCoffer, startCoffer } from './start-coffer.ts'
import { type AtServer, type Service, serviceOf } from './two-services.ts'

const MiB = 1024 * 1024
const soon = { timeout: 20_000, interval: 10 }

let running: Coffer[]
let source: Service
let target: Service
let folder: Folder
beforeAll(async () => {
  running = await Promise.all([startCoffer({ key: 'sk-source' }), startCoffer()])
  const [from, to] = running.map(serviceOf)
  if (from === undefined || to === undefined) throw new Error('Two were started.')
  source = from
  target = to
})
afterAll(async () => {
  for (const coffer of running ?? []) await coffer[Symbol.asyncDispose]()
})
beforeEach(async () => {
  folder = await makeFolder()
})
afterEach(async () => {
  await folder[Symbol.asyncDispose]()
  await source.clear()
  await target.clear()
})

const at = (...names: string[]) => join(folder.path, ...names)
const isContent = ({ url }: ProxiedRequest) => url.endsWith('/content')
const isUpload = ({ method, url }: ProxiedRequest) => method === 'POST' && url === '/v1/files'

interface Ends {
  readonly from?: string
  readonly to?: string
}

function environment({ from, to }: Ends = {}) {
  return {
    COFFER_IMPORT_BASE_URL: from ?? source.env.OPENAI_BASE_URL,
    COFFER_IMPORT_API_KEY: source.env.OPENAI_API_KEY,
    OPENAI_BASE_URL: to ?? target.env.OPENAI_BASE_URL,
    OPENAI_API_KEY: target.env.OPENAI_API_KEY,
    XDG_STATE_HOME: at('state'),
  }
}

const args = (...more: string[]) => ['import', '--map', at('map.jsonl'), ...more]

function go(more: readonly string[] = [], ends: Ends = {}): Promise<Outcome> {
  return target.go(args(...more), { env: environment(ends) })
}

interface Line {
  readonly source_id: string
  readonly target_id: string
  readonly source_purpose: string
  readonly target_purpose: string
}

async function linesOf(path: string): Promise<Line[]> {
  const text = await readFile(path, 'utf8')
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
}

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown

/** A source of which one part is odd. */
function startOdd(files: readonly Record<string, unknown>[], content: string, odd: Answer) {
  const honest = servingFiles(files, content)
  return startScripted((request, response) => {
    // Whatever it answers itself is enough.
    if (odd(request, response) === undefined) honest(request, response)
  })
}

const odds = (count: number) =>
  Array.from({ length: count }, (_, number) => ({
    ...{ id: `file-${number}`, filename: `${number}.txt`, bytes: 5, created_at: number + 1 },
    purpose: 'user_data',
  }))

describe('coffer import', () => {
  it('copies names, purposes, bytes and what is left of the time, and maps the ids', async () => {
    await source.add({ name: 'one.txt', content: 'first', purpose: 'assistants' })
    await source.add({ name: 'train.jsonl', content: '{"item":{}}', purpose: 'evals' })
    await source.add({ name: 'soon.txt', expiresAfter: 7200 })
    await source.add({ name: 'empty', content: '' })
    const { code, stdout, stderr } = await go()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '4 files imported, 24 B.\n' })
    expect(await target.texts()).toEqual({
      ...{ 'one.txt': 'first', 'train.jsonl': '{"item":{}}', 'soon.txt': 'soon.txt', empty: '' },
    })
    const [old, files] = [await source.list(), await target.list()]
    const byName = (all: readonly AtServer[], name: string) =>
      all.find(({ filename }) => filename === name)
    for (const { filename, purpose, expires_at } of old) {
      const copy = byName(files, filename)
      expect(copy?.purpose).toBe(purpose)
      if (expires_at === null) expect(copy?.expires_at).toBe(null)
      else expect(Math.abs((copy?.expires_at ?? 0) - expires_at)).toBeLessThan(60)
    }
    const pairs = old.map(({ id, filename }) => [id, byName(files, filename)?.id ?? '', filename])
    const printed = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split('  '))
    expect(printed.sort()).toEqual(pairs.sort())
    const lines = await linesOf(at('map.jsonl'))
    expect(lines.map(({ source_id, target_id }) => [source_id, target_id]).sort()).toEqual(
      pairs.map((pair) => pair.slice(0, 2)),
    )
    expect(await readdir(folder.path)).toEqual(['map.jsonl'])
  })

  it('copies only what is missing or new with the same map', async () => {
    const kept = await source.add({ name: 'kept' })
    await source.add({ name: 'lost' })
    await go()
    const lost = (await target.list()).find(({ filename }) => filename === 'lost')
    await target.remove(lost?.id ?? '')
    await source.add({ name: 'new' })
    const { code, stdout, stderr } = await go()
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: '2 files imported, 7 B, and 1 there already.\n',
    })
    expect(stdout.match(/\w+$/gm)?.sort()).toEqual(['lost', 'new'])
    expect(Object.keys(await target.texts()).sort()).toEqual(['kept', 'lost', 'new'])
    const again = await go()
    expect(again).toEqual({
      code: 0,
      stdout: '',
      stderr: '0 files imported, 0 B, and 3 there already.\n',
    })
    await source.add({ name: 'newer' })
    expect((await go()).stdout).toMatch(/^file-\w+ {2}file-\w+ {2}newer\n$/)
    expect((await target.list()).length).toBe(4)
    const mapped = (await linesOf(at('map.jsonl'))).findLast((line) => line.source_id === kept.id)
    expect((await target.content(mapped?.target_id ?? '')).toString()).toBe('kept')
  })

  it('copies to another server what the map has of one, and knows both of them again', async () => {
    await source.add({ name: 'one' })
    await go()
    await using other = await startCoffer()
    const to = `${other.url}/v1`
    expect((await go([], { to })).stderr).toBe('1 file imported, 3 B.\n')
    expect(await serviceOf(other).texts()).toEqual({ one: 'one' })
    await using alias = await startProxy(running[1]?.url ?? '')
    for (const known of [target.env.OPENAI_BASE_URL, to, `${alias.url}/v1`]) {
      expect((await go([], { to: known })).stderr).toBe(
        '0 files imported, 0 B, and 1 there already.\n',
      )
    }
  })

  it('copies from another source what has the ids of the first', async () => {
    for (const content of ['first', 'other']) {
      await using server = await startScripted(servingFiles(odds(1), content))
      await go([], { from: server.env.OPENAI_BASE_URL })
    }
    const texts = (await target.list()).map(async ({ id }) => `${await target.content(id)}`)
    expect(await Promise.all(texts)).toEqual(['first', 'other'])
  })

  it('says that there is nothing, of an empty project', async () => {
    expect(await go()).toEqual({ code: 0, stdout: '', stderr: '0 files imported, 0 B.\n' })
    expect(await linesOf(at('map.jsonl'))).toEqual([])
  })

  it('only tells with --dry-run, and writes nothing', async () => {
    const { id } = await source.add({ name: 'one' })
    expect(await go(['--dry-run'])).toEqual({
      code: 0,
      stdout: `${id}  one\n`,
      stderr: '1 file to import, 3 B.\n',
    })
    const { stdout } = await go(['--dry-run', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ id, filename: 'one' })
    expect(await target.list()).toEqual([])
    expect(await readdir(folder.path)).toEqual([])
    await go()
    expect((await go(['--dry-run'])).stderr).toBe('0 files to import, 0 B, and 1 there already.\n')
  })

  it('prints the lines of the map with --json', async () => {
    await source.add({ name: 'one' })
    expect((await go(['--json'])).stdout).toBe(await readFile(at('map.jsonl'), 'utf8'))
  })

  it('makes user_data of what only servers make, and says so', async () => {
    const files = odds(3).map((file, number) => ({
      ...file,
      purpose: ['batch_output', 'user_data', 'ocr'][number],
    }))
    await using server = await startScripted(servingFiles(files))
    const { code, stderr } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect(code).toBe(0)
    expect(stderr).toBe(
      '2 have the purpose user_data, as only servers make files of theirs.\n' +
        '3 files imported, 15 B.\n',
    )
    expect((await target.list()).map(({ purpose }) => purpose)).toEqual(Array(3).fill('user_data'))
    const lines = await linesOf(at('map.jsonl'))
    expect(lines.find(({ source_id }) => source_id === 'file-0')).toMatchObject({
      source_purpose: 'batch_output',
      target_purpose: 'user_data',
    })
  })

  it('sends a large file in parts, with one request to the source', async () => {
    const content = randomBytes(70 * MiB)
    await source.add({ name: 'large.bin', content })
    await using from = await startProxy(running[0]?.url ?? '')
    await using to = await startProxy(running[1]?.url ?? '')
    const ends = { from: `${from.url}/v1`, to: `${to.url}/v1` }
    expect(await go([], ends)).toMatchObject({ code: 0 })
    const [file] = await target.list()
    expect((await target.content(file?.id ?? '')).equals(content)).toBe(true)
    expect(from.requests.filter(isContent)).toHaveLength(1)
    expect(to.requests.filter(({ url }) => url.endsWith('/parts'))).toHaveLength(5)
  })
})

describe('a source', () => {
  it.each([
    ['has no has_more', {}],
    ['always says that there is more', { has_more: true }],
    ['says null', { has_more: null }],
  ])('that %s and always gives everything is copied once', async (_, fields) => {
    const files = odds(5)
    let lists = 0
    await using server = await startOdd(files, 'bytes', ({ url = '' }, response) => {
      if (!/^\/v1\/files(\?|$)/.test(url)) return undefined
      lists += 1
      return response.end(JSON.stringify({ data: files, ...fields }))
    })
    expect(await go([], { from: server.env.OPENAI_BASE_URL })).toMatchObject({ code: 0 })
    expect(await target.list()).toHaveLength(5)
    expect(lists).toBeLessThanOrEqual(2)
  })

  it('that refuses to be asked for pages it never spoke of is copied', async () => {
    const files = odds(2)
    await using server = await startOdd(files, 'bytes', ({ url = '' }, response) => {
      if (url === '/v1/files') return response.end(JSON.stringify({ data: files }))
      return url.startsWith('/v1/files?') ? response.writeHead(400).end('{}') : undefined
    })
    expect(await go([], { from: server.env.OPENAI_BASE_URL })).toMatchObject({ code: 0 })
    expect(await target.list()).toHaveLength(2)
  })

  it.each([
    ['has_more', (more: boolean) => ({ has_more: more })],
    ['nothing to say whether there is more', () => ({})],
  ])('with pages and %s is copied whole, the oldest first', async (_, fieldsOf) => {
    const files = odds(7).reverse()
    await using server = await startOdd(files, 'bytes', ({ url = '' }, response) => {
      if (!/^\/v1\/files(\?|$)/.test(url)) return undefined
      const after = new URL(url, 'http://host').searchParams.get('after')
      const start = files.findIndex(({ id }) => id === after) + 1
      const data = files.slice(start, start + 3)
      return response.end(JSON.stringify({ data, ...fieldsOf(start + 3 < files.length) }))
    })
    const { code, stdout } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect(code).toBe(0)
    expect(stdout.match(/^file-\d/gm)?.sort()).toEqual(files.map(({ id }) => id).sort())
    expect(await target.list()).toHaveLength(7)
  })

  it('that pages, as ours does, is copied whole', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await source.add({ name })
    await using proxy = await startScripted(async ({ url = '' }, response) => {
      const small = new URL(url, running[0]?.url)
      if (url.startsWith('/v1/files?') || url === '/v1/files') small.searchParams.set('limit', '2')
      const answer = await running[0]?.fetch(`${small.pathname}${small.search}`)
      response.end(new Uint8Array((await answer?.arrayBuffer()) ?? []))
    })
    expect(await go([], { from: proxy.env.OPENAI_BASE_URL })).toMatchObject({ code: 0 })
    expect(Object.keys(await target.texts()).sort()).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  it('that cuts a content is asked for the rest, and the target hears nothing of it', async () => {
    const content = randomBytes(3 * MiB)
    await source.add({ name: 'a.bin', content })
    await using from = await startProxy(running[0]?.url ?? '', { breakAfter: () => MiB })
    await using to = await startProxy(running[1]?.url ?? '')
    const ends = { from: `${from.url}/v1`, to: `${to.url}/v1` }
    expect(await go([], ends)).toMatchObject({ code: 0 })
    const [file] = await target.list()
    expect((await target.content(file?.id ?? '')).equals(content)).toBe(true)
    expect(from.requests.filter(isContent).length).toBeGreaterThan(2)
    expect(to.requests.filter(isUpload)).toHaveLength(1)
  })

  it.each([
    ['always cuts the content', { 'content-length': 10 }, /The connection to .* failed/],
    ['ends it cleanly too early', {}, /: 5 bytes came of 10\.$/m],
    ['announces fewer bytes than it has', { 'content-length': 5 }, /10 bytes, and sends 5\.$/m],
  ])('that %s fails, and nothing short is stored', async (_, headers, reason) => {
    const file = { ...odds(1)[0], bytes: 10 }
    let tries = 0
    await using server = await startOdd([file], '', ({ url = '' }, response) => {
      if (!url.endsWith('/content')) return undefined
      tries += 1
      response.writeHead(200, headers)
      const isCut = 'content-length' in headers && headers['content-length'] === 10
      return response.write('01234', () => (isCut ? response.destroy() : response.end()))
    })
    const { code, stdout, stderr } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^Not imported: file-0: .*\n$/)
    expect(stderr).toMatch(reason)
    expect(tries).toBe(3)
    expect(await target.list()).toEqual([])
  })

  it('that breaks off in a large file for good costs no part that has come', async () => {
    const content = randomBytes(100 * MiB)
    await source.add({ name: 'large.bin', content })
    await using from = await startProxy(running[0]?.url ?? '', {
      breakAfter: () => (from.requests.filter(isContent).length < 2 ? 60 * MiB : 0),
    })
    await using to = await startProxy(running[1]?.url ?? '')
    const ends = { from: `${from.url}/v1`, to: `${to.url}/v1` }
    const { code, stderr } = await go([], ends)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Not imported: file-\w+: The connection to .* --from-url right\?\n$/)
    const posted = () =>
      to.requests.filter(({ method, url }) => method === 'POST' && url.endsWith('/parts')).length
    const before = posted()
    from.goOn()
    expect(await go([], ends)).toMatchObject({ code: 0 })
    expect(posted() - before).toBeLessThan(7)
    const [file] = await target.list()
    expect((await target.content(file?.id ?? '')).equals(content)).toBe(true)
  })

  it.each([
    ['none, as 0', 0, undefined],
    ['in a minute', 60, 3600],
    ['in half a year', 183 * 86_400, undefined],
  ])('whose file expires %s has a copy that an upload can ask for', async (_, from, seconds) => {
    const now = Math.floor(Date.now() / 1000)
    const file = { ...odds(1)[0], expires_at: from === 0 ? 0 : now + from }
    await using server = await startScripted(servingFiles([file]))
    expect(await go([], { from: server.env.OPENAI_BASE_URL })).toMatchObject({ code: 0 })
    const [copy] = await target.list()
    const left = copy?.expires_at ? copy.expires_at - copy.created_at : undefined
    expect(left).toBe(seconds)
  })

  it('that sends more than it said fails, too', async () => {
    const file = { ...odds(1)[0], bytes: 3 }
    await using server = await startOdd([file], '', ({ url = '' }, response) => {
      if (!url.endsWith('/content')) return undefined
      response.flushHeaders()
      return response.end('01234')
    })
    const { code, stderr } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'Not imported: file-0: More bytes came than 3.\n',
    })
    expect(await target.list()).toEqual([])
  })

  it('whose file changed its size since it was listed is asked about it again', async () => {
    const file = { ...odds(1)[0], bytes: 3 }
    await using server = await startOdd([{ ...file, bytes: 5 }], 'bytes', ({ url }, response) =>
      url === '/v1/files'
        ? response.end(JSON.stringify({ data: [file], has_more: false }))
        : undefined,
    )
    expect(await go([], { from: server.env.OPENAI_BASE_URL })).toMatchObject({ code: 0 })
    expect(await target.texts()).toEqual({ '0.txt': 'bytes' })
  })

  it('that tells no sizes is believed', async () => {
    const { bytes, ...file } = odds(1)[0] ?? { bytes: 0 }
    await using server = await startOdd([file], '', ({ url = '' }, response) => {
      if (!url.endsWith('/content')) return undefined
      response.flushHeaders()
      return response.end('01234')
    })
    expect(await go([], { from: server.env.OPENAI_BASE_URL })).toMatchObject({ code: 0 })
    expect(await target.texts()).toEqual({ '0.txt': '01234' })
    expect(bytes).toBe(5)
  })

  it('of which single files fail or are gone gives the rest', async () => {
    const files = odds(4)
    await using server = await startOdd(files, 'bytes', ({ url = '' }, response) => {
      if (url.includes('file-1')) return response.writeHead(404).end('{}')
      if (!url.endsWith('file-2/content')) return undefined
      const message = 'Not allowed to download files of purpose: user_data'
      return response.writeHead(400).end(JSON.stringify({ error: { message } }))
    })
    const { code, stderr } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect(code).toBe(1)
    expect(stderr.split('\n').sort()).toEqual([
      '',
      'Not imported: file-1: It was deleted meanwhile.',
      'Not imported: file-2: Not allowed to download files of purpose: user_data',
      'coffer: 2 imported, 1 not.',
    ])
    expect(Object.keys(await target.texts()).sort()).toEqual(['0.txt', '3.txt'])
  })

  it('may give any name', async () => {
    const names = ['../../etc/passwd', '"quoted".txt', '', 'é'.repeat(120), 'a\u202eb']
    const files = names.map((filename, number) => ({ ...odds(5)[number], filename }))
    await using server = await startScripted(servingFiles(files))
    const { code, stdout } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect(code).toBe(0)
    expect(stdout).not.toContain('\u202e')
    expect(await target.list()).toHaveLength(5)
    expect((await go([], { from: server.env.OPENAI_BASE_URL })).stdout).toBe('')
  })

  it('that knows another key is named as the source', async () => {
    const env = { ...environment(), COFFER_IMPORT_API_KEY: 'sk-wrong' }
    const { code, stderr } = await target.go(args(), { env })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^coffer: .* Look at COFFER_IMPORT_API_KEY or --from-key\.\n$/)
  })
})

describe('a target', () => {
  it('that refuses one file gets the rest, and the sentence says why', async () => {
    const refused = { ...odds(1)[0], purpose: 'batch' }
    const files = [refused, ...odds(3).slice(1)]
    await using server = await startScripted(servingFiles(files))
    const { code, stderr } = await go([], { from: server.env.OPENAI_BASE_URL })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Not imported: file-0: .*\.jsonl.*\ncoffer: 2 imported, 1 not\.\n$/)
    expect(await readdir(folder.path)).toEqual(['map.jsonl'])
  })

  it.each([
    ['in the middle', 1],
    ['before it begins', 0],
  ])('whose answer is lost %s has each file once', async (_, bytes) => {
    await source.add({ name: 'one' })
    // The upload is stored, and its answer does not come through.
    await using to = await startProxy(running[1]?.url ?? '', {
      breakAfter: (number) => (number === 0 ? bytes : undefined),
    })
    const { code } = await go([], { to: `${to.url}/v1` })
    expect(code).toBe(0)
    expect(await target.list()).toHaveLength(1)
    const [file] = await target.list()
    expect(await linesOf(at('map.jsonl'))).toMatchObject([{ target_id: file?.id }])
  })
})

describe('an export', () => {
  const fromFolder = () => ['--from-folder', at('there'), '--map', at('map.jsonl')]
  const bring = () => target.go(['import', ...fromFolder()], { env: environment() })

  it('of a folder is imported again, and once', async () => {
    const content = randomBytes(70 * MiB)
    await source.add({ name: '../a "b".txt', content: 'one', purpose: 'assistants' })
    await source.add({ name: 'empty', content: '' })
    await source.add({ name: 'large.bin', content })
    await source.go(['export', at('there')])
    const { code, stderr } = await bring()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '3 files imported, 70 MiB.\n' })
    const about = ({ filename, purpose, bytes }: AtServer) => `${filename} ${purpose} ${bytes}`
    const [old, files] = [await source.list(), await target.list()]
    expect(files.map(about).sort()).toEqual(old.map(about).sort())
    const large = files.find(({ filename }) => filename === 'large.bin')
    expect((await target.content(large?.id ?? '')).equals(content)).toBe(true)
    expect((await bring()).stderr).toBe('0 files imported, 0 B, and 3 there already.\n')
  })

  it('of which bytes are changed or lost gives the rest', async () => {
    const files: AtServer[] = []
    for (const name of ['changed', 'lost', 'kept']) files.push(await source.add({ name }))
    await source.go(['export', at('there')])
    const [changed, lost] = files.map(({ id, filename }) => at('there/files', id, filename))
    await writeFile(changed ?? '', 'CHANGED')
    await rm(lost ?? '')
    const { code, stderr } = await bring()
    expect(code).toBe(1)
    for (const { id } of files.slice(0, 2)) {
      expect(stderr).toContain(`Not imported: ${id}: Its bytes are not as the manifest says.\n`)
    }
    expect(await target.texts()).toEqual({ kept: 'kept' })
  })

  it('is none without a manifest', async () => {
    const { code, stderr } = await bring()
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `coffer: ${at('there')} is no export: it has no manifest.jsonl.\n`,
    })
  })
})

describe('kill -9', () => {
  it('in the middle leaves a map with which the rest is copied', async () => {
    for (let number = 0; number < 20; number += 1) await source.add({ name: `${number}` })
    const content = randomBytes(2 * MiB)
    const large = await source.add({ name: 'large.bin', content })
    await using halting = await startProxy(running[0]?.url ?? '', { haltAfter: () => MiB })
    const from = `${halting.url}/v1`
    await using program = runCoffer(args(), environment({ from }))
    await program.printed(/ {2}19\n/)
    await expect
      .poll(() => halting.requests.some(({ url }) => url.includes(large.id)), soon)
      .toBe(true)
    program.signal('SIGKILL')
    await program.ended
    const lines = (await linesOf(at('map.jsonl'))).length
    expect(lines).toBeGreaterThan(0)

    halting.goOn()
    const { code, stderr } = await go([], { from })
    expect(code).toBe(0)
    expect(stderr).toMatch(
      new RegExp(`^${21 - lines} files? imported, .*, and ${lines} there already`),
    )
    const texts = await target.texts()
    expect(Object.keys(texts)).toHaveLength(21)
    expect(await target.list()).toHaveLength(21)
    expect(await readdir(folder.path)).toEqual(['map.jsonl'])
  })

  it('between the end of an upload and its line of the map copies nothing twice', async () => {
    await source.add({ name: 'one', purpose: 'assistants' })
    // The upload is stored, and its answer stands still.
    await using to = await startProxy(running[1]?.url ?? '', { haltAfter: () => 0 })
    await using program = runCoffer(args(), environment({ to: `${to.url}/v1` }))
    await expect.poll(() => target.list(), soon).toHaveLength(1)
    program.signal('SIGKILL')
    await program.ended
    expect(await linesOf(at('map.jsonl'))).toEqual([])
    expect(await linesOf(at('map.jsonl.sent'))).toHaveLength(1)
    to.goOn()
    const { code, stderr } = await go([], { to: `${to.url}/v1` })
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: '0 files imported, 0 B, and 1 there already.\n',
    })
    const [file] = await target.list()
    expect(await linesOf(at('map.jsonl'))).toMatchObject([{ target_id: file?.id }])
    expect(await readdir(folder.path)).toEqual(['map.jsonl'])
  })

  it('in the middle of a large file sends only the parts that are missing', async () => {
    const content = randomBytes(100 * MiB)
    await source.add({ name: 'large.bin', content, expiresAfter: 7200 })
    await using to = await startProxy(running[1]?.url ?? '')
    const env = environment({ to: `${to.url}/v1` })
    const second = () => Math.floor(Date.now() / 1000)
    await using program = runCoffer(args(), env)
    const parts = () => to.requests.filter(({ url }) => url.endsWith('/parts')).length
    await expect.poll(parts, soon).toBeGreaterThan(2)
    const begun = second()
    program.signal('SIGKILL')
    await program.ended
    const before = parts()
    expect(before).toBeLessThan(7)
    // There is less time left, which makes it no other upload.
    await expect.poll(second, soon).toBeGreaterThan(begun)
    expect(await target.go(args(), { env })).toMatchObject({ code: 0 })
    // A listing of the parts has such a path, too.
    const posted = to.requests.filter(
      ({ method, url }) => method === 'POST' && url.endsWith('/parts'),
    )
    expect(posted.length).toBeLessThanOrEqual(8)
    const [file] = await target.list()
    expect((await target.content(file?.id ?? '')).equals(content)).toBe(true)
    expect(await target.list()).toHaveLength(1)
  })
})

describe('a map', () => {
  it('whose last line is cut short is gone on with', async () => {
    await source.add({ name: 'one' })
    await go()
    const text = await readFile(at('map.jsonl'), 'utf8')
    await writeFile(at('map.jsonl'), `${text}{"source":"ht`)
    await source.add({ name: 'two' })
    expect((await go()).stdout).toMatch(/ {2}two\n$/)
    expect((await go()).stderr).toBe('0 files imported, 0 B, and 2 there already.\n')
  })

  it('that is something else is left alone', async () => {
    await writeFile(at('map.jsonl'), 'Dear diary,\n')
    expect(await go()).toEqual({
      code: 1,
      stdout: '',
      stderr: `coffer: ${at('map.jsonl')} is there already and is something else: see its line 1.\n`,
    })
    expect(await readFile(at('map.jsonl'), 'utf8')).toBe('Dear diary,\n')
  })
})

describe('wrong use of coffer import', () => {
  it.each([
    [
      { COFFER_IMPORT_BASE_URL: '' },
      /^coffer: From where\? Set COFFER_IMPORT_BASE_URL or give --from-url/,
    ],
    [
      { COFFER_IMPORT_API_KEY: '' },
      /^coffer: Which API key\? Set COFFER_IMPORT_API_KEY or give --from-key\n$/,
    ],
    [{ COFFER_IMPORT_BASE_URL: 'here' }, /^coffer: here is no URL; give one as /],
  ])('is to say no source: %o', async (env, sentence) => {
    const { code, stderr } = await target.go(args(), { env: { ...environment(), ...env } })
    expect(code).toBe(2)
    expect(stderr).toMatch(sentence)
  })

  it('is to give no map', async () => {
    const { code, stderr } = await target.go(['import'], { env: environment() })
    expect(code).toBe(2)
    expect(stderr).toMatch(/--map <file>' not specified\. See coffer import --help\.\n$/)
  })

  it('is to name two sources', async () => {
    const env = environment()
    const more = ['--from-folder', 'x', '--from-url', env.COFFER_IMPORT_BASE_URL]
    const { code, stderr } = await target.go(args(...more), { env })
    expect(code).toBe(2)
    expect(stderr).toMatch(/cannot be used with option/)
  })

  it('is to import a project into itself', async () => {
    const { OPENAI_BASE_URL, OPENAI_API_KEY } = target.env
    const more = ['--from-url', `${OPENAI_BASE_URL}/`, '--from-key', OPENAI_API_KEY]
    expect(await target.go(args(...more))).toEqual({
      code: 2,
      stdout: '',
      stderr: 'coffer: These are the same files: give another --from-url or --from-key.\n',
    })
    expect(await readdir(folder.path)).toEqual([])
  })
})

describe('Ctrl-C', () => {
  it('ends the import, stores nothing half, and the next run goes on', async () => {
    await source.add({ name: 'small' })
    await source.add({ name: 'large.bin', content: randomBytes(2 * MiB) })
    await using halting = await startProxy(running[0]?.url ?? '', { haltAfter: () => MiB })
    const from = `${halting.url}/v1`
    const io = fakeIo({ env: environment({ from }) })
    const ended = run(args(), io)
    await expect.poll(() => io.written.stdout, soon).toMatch(/ {2}small\n$/)
    await expect.poll(() => halting.requests.filter(isContent).length, soon).toBe(2)
    io.emit('SIGINT')
    expect(await ended).toBe(130)
    expect(io.written.stderr).toBe('coffer: Stopped; the same command goes on from here.\n')
    expect((await target.list()).map(({ filename }) => filename)).toEqual(['small'])
    halting.goOn()
    const { code, stderr } = await go([], { from })
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: '1 file imported, 2 MiB, and 1 there already.\n',
    })
  })
})
