import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import stringWidth from 'string-width'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { showProgress } from '../src/progress.ts'
import { toBars } from '../src/progress-bars.ts'
import { listDisk } from './data-folder.ts'
import { fakeIo } from './fake-io.ts'
import { openSlowDoor, type SlowDoor } from './slow-door.ts'
import { type Coffer, type Folder, makeFolder, startCoffer } from './start-coffer.ts'
import { runInTerminal, type TerminalOptions, type TerminalProgram } from './terminal.ts'

const MB = 1_000_000

let coffer: Coffer
let door: SlowDoor
let folder: Folder
beforeAll(async () => {
  coffer = await startCoffer()
  door = await openSlowDoor(coffer.url, 4 * MB)
})
afterAll(async () => {
  await coffer?.[Symbol.asyncDispose]()
  await door?.[Symbol.asyncDispose]()
})
beforeEach(async () => {
  folder = await makeFolder()
})
afterEach(async () => {
  await folder[Symbol.asyncDispose]()
  for (const { id } of await filesAtServer()) {
    await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
  }
})

function run(line: string, options: TerminalOptions = {}, url = coffer.url): TerminalProgram {
  const env = { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: coffer.key }
  return runInTerminal(line, { env, folder: folder.path, ...options })
}

const at = (name: string) => join(folder.path, name)

async function write(name: string, bytes: number): Promise<void> {
  await writeFile(at(name), '')
  await truncate(at(name), bytes)
}

async function filesAtServer(): Promise<{ id: string; filename: string }[]> {
  const answer = await coffer.fetch('/v1/files')
  return ((await answer.json()) as { data: { id: string; filename: string }[] }).data
}

async function add(name: string, bytes = 4): Promise<string> {
  const answer = await coffer.upload(new Uint8Array(bytes), name)
  return ((await answer.json()) as { id: string }).id
}

/** Waits until the screen shows it. */
async function shown(program: TerminalProgram, pattern: RegExp): Promise<void> {
  await expect
    .poll(async () => (await program.screen()).join('\n'), { timeout: 20_000, interval: 20 })
    .toMatch(pattern)
}

const bar = /^(\S+) +[█░]{10,} +\d{1,3}% .*[\d.]+ [kMGKi]*B\/s +\d+s left$/m

describe('an upload on a terminal', () => {
  it('shows a bar for each file, with rate and time left, and leaves only the results', async () => {
    await write('large.bin', 8 * MB)
    await write('other.bin', 8 * MB)
    using program = run('coffer upload large.bin other.bin; echo the end', {}, door.url)
    await shown(program, /^large\.bin +[█░]{10,} +\d+% .*\/s +\d+s left\nother\.bin .* left$/m)
    expect(await program.ended).toBe(0)
    const lines = await program.screen()
    expect(
      lines
        .slice(0, 2)
        .map((line) => line.replace(/^file-\w+ {2}/, ''))
        .sort(),
    ).toEqual(['large.bin', 'other.bin'])
    expect(lines.slice(2)).toEqual(['the end'])
    expect(program.raw.endsWith('the end\r\n')).toBe(true)
    expect(showsCursor(program)).toBe(true)
  })

  it('shows how much of standard input is sent', async () => {
    using program = run('head -c 8000000 /dev/zero | coffer upload -', {}, door.url)
    await shown(program, /^stdin +[\d.]+ MiB +[\d.]+ [KM]iB\/s$/m)
  })

  it('draws nothing for small files', async () => {
    await write('small.txt', 10)
    using program = run('coffer upload small.txt')
    expect(await program.ended).toBe(0)
    expect(program.raw).toMatch(/^file-\w+ {2}small\.txt\r\n$/)
  })

  it('shows no bar where standard error is no terminal', async () => {
    await write('large.bin', 4 * MB)
    using program = run('coffer upload large.bin 2>&1 | cat', {}, door.url)
    expect(await program.ended).toBe(0)
    expect(program.raw).toMatch(/^file-\w+ {2}large\.bin\r\n$/)
  })

  it('shows a bar while the ids go to the next command', async () => {
    await write('large.bin', 12 * MB)
    using program = run('coffer upload large.bin | coffer show -', {}, door.url)
    await shown(program, bar)
    expect(await program.ended).toBe(0)
    expect((await program.screen())[1]).toBe('name:     large.bin')
  })

  it('shows one bar for a file that goes in parts, and says at Ctrl-C how to go on', async () => {
    await write('large.bin', 80 * MB)
    const line = 'coffer upload large.bin; echo "code $?"'
    const env = { OPENAI_BASE_URL: `${door.url}/v1`, OPENAI_API_KEY: coffer.key }
    using program = run(line, { env: { ...env, XDG_STATE_HOME: folder.path } })
    await shown(program, bar)
    expect(await program.screen()).toHaveLength(1)
    await stopsWithin(1000, program)
    expect(await program.screen()).toEqual([
      'The same command with --resume sends the rest: large.bin',
      ...['coffer: Stopped.', 'code 130'],
    ])
  })

  it('ends at Ctrl-C with 130 and one line, and leaves nothing at the server', async () => {
    await write('large.bin', 40 * MB)
    using program = run('coffer upload large.bin; echo "code $?"', {}, door.url)
    await shown(program, bar)
    await stopsWithin(1000, program)
    expect(await program.screen()).toEqual(['coffer: Stopped.', 'code 130'])
    expect(showsCursor(program)).toBe(true)
    expect(await filesAtServer()).toEqual([])
    await expect
      .poll(() => listDisk(coffer.folder), { timeout: 20_000 })
      .toEqual({ blobs: [], drafts: [] })
  })

  it('ends at Ctrl-C also while it waits for standard input', async () => {
    // Whoever writes to the pipe stays, and ends with the test.
    using program = run(
      'mkfifo pipe; sleep 30 > pipe & coffer upload - < pipe; echo "code $?"; kill %1',
    )
    await shown(program, /^stdin /)
    await stopsWithin(1000, program)
    expect(await program.screen()).toEqual(['coffer: Stopped.', 'code 130'])
  })
})

/** Types Ctrl-C. */
async function stopsWithin(milliseconds: number, program: TerminalProgram): Promise<void> {
  const began = performance.now()
  program.type('\x03')
  await program.ended
  expect(performance.now() - began).toBeLessThan(milliseconds)
}

function showsCursor({ raw }: TerminalProgram): boolean {
  return raw.lastIndexOf('\x1b[?25h') > raw.lastIndexOf('\x1b[?25l')
}

describe('a download on a terminal', () => {
  it('ends at Ctrl-C with 130 and one line, and goes on from there', async () => {
    const id = await add('large.bin', 16 * MB)
    using broken = run(`coffer download ${id}; echo "code $?"`, {}, door.url)
    await shown(broken, bar)
    await stopsWithin(1000, broken)
    expect(await broken.screen()).toEqual([
      'coffer: Stopped; the same command goes on from here.',
      'code 130',
    ])
    expect(showsCursor(broken)).toBe(true)
    expect(await readdir(folder.path)).toEqual([expect.stringMatching(/^\.large\.bin\..*part$/)])

    using again = run(`coffer download ${id}`)
    expect(await again.ended).toBe(0)
    expect((await readFile(at('large.bin'))).equals(Buffer.alloc(16 * MB))).toBe(true)
    expect(await readdir(folder.path)).toEqual(['large.bin'])
    await expect.poll(() => coffer.stderr).toContain('"status":206')
  })
})

describe('coffer export and coffer import on a terminal', () => {
  it('show a bar for each file, and leave only the results', async () => {
    const id = await add('large.bin', 8 * MB)
    using out = run('coffer export there', {}, door.url)
    await shown(out, bar)
    expect(await out.ended).toBe(0)
    const sum = /^1 file (exported|imported), 7\.6 MiB\.$/
    expect(await out.screen()).toEqual([`${id}  files/${id}/large.bin`, expect.stringMatching(sum)])
    expect(showsCursor(out)).toBe(true)

    using back = run('coffer import --from-folder there --map map.jsonl', {}, door.url)
    await shown(back, bar)
    expect(await back.ended).toBe(0)
    expect(await back.screen()).toEqual([
      expect.stringMatching(/^file-\w+ {2}file-\w+ {2}large\.bin$/),
      expect.stringMatching(sum),
    ])
  })
})

describe('coffer delete on a terminal', () => {
  it.each([
    ['y\r', 0, 0, 'ID'],
    ['YES\r', 0, 0, 'ID'],
    ['n\r', 1, 1, 'coffer: Nothing was deleted.'],
    ['\r', 1, 1, 'coffer: Nothing was deleted.'],
    ['\x04', 1, 1, 'coffer: Nothing was deleted.'],
    ['\x03', 130, 1, 'coffer: Stopped.'],
  ])('asks, and is answered by %j', async (answer, code, left, said) => {
    const id = await add('a.txt')
    using program = run(`coffer delete ${id}`)
    await shown(program, new RegExp(`^Delete ${id} for good\\? \\[y/N\\]$`))
    program.type(answer)
    expect(await program.ended).toBe(code)
    expect(await filesAtServer()).toHaveLength(left)
    expect((await program.screen()).at(-1)).toBe(said.replace('ID', id))
  })

  it('counts several, and does not ask with --yes', async () => {
    const ids = [await add('a'), await add('b')]
    using program = run(`coffer delete ${ids.join(' ')}`)
    await shown(program, /^Delete these 2 files for good\? \[y\/N\]$/)
    program.type('n\r')
    await program.ended
    using yes = run(`coffer delete ${ids.join(' ')} --yes`)
    expect(await yes.ended).toBe(0)
    expect(yes.raw).not.toContain('?')
    expect(await filesAtServer()).toEqual([])
  })
})

describe('coffer list on a terminal', () => {
  it.each([20, 40, 80])('fits into %i columns', async (columns) => {
    const names = ['x'.repeat(120), '文'.repeat(60), 'short']
    for (const name of names) await add(name)
    using program = run('coffer list', { columns })
    expect(await program.ended).toBe(0)
    // A line that were too long would go on in the next.
    expect(await program.screen()).toHaveLength(names.length + 1)
  })

  it('ends quietly when its reader leaves', async () => {
    await add('a')
    using program = run('coffer list | true; coffer list --json | true; coffer --help | true')
    expect(await program.ended).toBe(0)
    expect(program.raw).toBe('')
  })
})

describe('the bars', () => {
  const names = ['a.txt', '文件名'.repeat(20), 'long-'.repeat(30), '👩‍👩‍👧‍👦'.repeat(9), '\x1b[2J']
  const files = names.flatMap((name) =>
    [undefined, 0, 3, 1024 ** 4].map((total) => ({ name, begunAt: 0, bytes: 2, total })),
  )

  it('are narrower than the terminal, all of the same width, and steer nothing', () => {
    for (let columns = 10; columns <= 200; columns += 1) {
      const widths = toBars(files, columns, 1000).map((line) => {
        expect(line).not.toMatch(/\p{Cc}/u)
        return stringWidth(line)
      })
      expect(new Set(widths).size).toBe(1)
      expect(widths[0]).toBeLessThan(columns)
    }
  })

  it('tell of a download that went on only what came since', () => {
    const file = { name: 'a', begunAt: 0, begunBytes: 900, bytes: 1000, total: 1100 }
    expect(toBars([file], 70, 1000)[0]).toMatch(/ 90% +100 B\/s +1s left$/)
  })
})

describe('the bar of what is counted in rows', () => {
  it('tells of rows', () => {
    const rows = { name: 'rows', unit: 'rows', begunAt: 0, bytes: 1500, total: 3000 } as const
    expect(toBars([rows], 120, 1000)[0]).toMatch(/ 50% +1,500 of 3,000 +1,500\/s +1s left$/)
  })
})

describe('small files beside a large one', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('are not drawn before they have taken a while', async () => {
    const { stdout, stderr, written } = fakeIo()
    const progress = showProgress({ stdout, stderr: Object.assign(stderr, { isTTY: true }) })
    progress.begin('large').moved(1, 100)
    await vi.advanceTimersByTimeAsync(1000)
    expect(written.stderr).toContain('large')
    progress.begin('small').done()
    progress.begin('other').moved(1, 100)
    await vi.advanceTimersByTimeAsync(200)
    expect(written.stderr).not.toMatch(/small|other/)
    await vi.advanceTimersByTimeAsync(200)
    expect(written.stderr).toContain('other')
    progress.end()
    expect(written.stderr.endsWith('\x1b[J\x1b[?25h')).toBe(true)
  })
})
