import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { settings } from '@coffer/server'
import { describe, expect, it } from 'vitest'
import { uploadHalf } from './half-upload.ts'
import {
  type Coffer,
  makeFolder,
  repository,
  runCoffer,
  runProgram,
  startCoffer,
} from './start-coffer.ts'

/** Waits that end when the thing happens; a busy machine may take its time. */
const soon = { timeout: 10_000 }

const printedKey = /^ {2}export OPENAI_API_KEY=(\S+)\n/m

describe.concurrent('the first start', () => {
  it('prints two lines to paste, whose address and key work', async () => {
    await using coffer = await startCoffer({ key: '' })
    const [, key = ''] = await coffer.printed(printedKey)
    const [, address] = await coffer.printed(/^ {2}export OPENAI_BASE_URL=(\S+)\n/m)
    expect(address).toBe(`${coffer.url}/v1`)
    expect(await statusWith(coffer, key)).toBe(200)
    expect(await statusWith(coffer, `${key}x`)).toBe(401)
  })

  it('stores of the key only its digest', async () => {
    await using coffer = await startCoffer({ key: '' })
    const [, key = ''] = await coffer.printed(printedKey)
    const digest = createHash('sha256').update(key).digest('hex')
    const whileRunning = await readAll(coffer.folder)
    expect(whileRunning.includes(key)).toBe(false)
    await coffer.stop()
    const stored = await readAll(coffer.folder)
    expect(stored.includes(digest)).toBe(true)
    expect(stored.includes(key)).toBe(false)
    expect(coffer.stderr).not.toContain(key)
  })

  it('prints no key at the second start, and the first one works on', async () => {
    await using folder = await makeFolder()
    await using first = await startCoffer({ key: '', folder: folder.path })
    const [, key = ''] = await first.printed(printedKey)
    await first.stop()
    await using second = await startCoffer({ key: '', folder: folder.path })
    expect(await statusWith(second, key)).toBe(200)
    await second.stop()
    expect(second.stdout).toBe(`Coffer is listening on ${second.url}\n`)
  })
})

describe.concurrent('COFFER_API_KEY', () => {
  it('replaces the key that it gave before', async () => {
    await using folder = await makeFolder()
    await using first = await startCoffer({ key: 'sk-old', folder: folder.path })
    await first.stop()
    await using second = await startCoffer({ key: 'sk-new', folder: folder.path })
    expect(await statusWith(second, 'sk-new')).toBe(200)
    expect(await statusWith(second, 'sk-old')).toBe(401)
  })

  it('may stand in a file that COFFER_API_KEY_FILE names', async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'key')
    await writeFile(path, 'sk-in-a-file\n')
    await using coffer = await startCoffer({ key: '', env: { COFFER_API_KEY_FILE: path } })
    expect(await statusWith(coffer, 'sk-in-a-file')).toBe(200)
  })
})

describe('standard output and standard error', () => {
  it('are for people and for logs, and no key that was given is in either', async () => {
    await using coffer = await startCoffer()
    await coffer.fetch('/v1/files')
    await coffer.stop()
    expect(coffer.stdout).toBe(`Coffer is listening on ${coffer.url}\n`)
    expect(coffer.stderr).not.toContain(coffer.key)
    const lines = coffer.stderr.trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ msg: 'request', method: 'GET', url: '/v1/files', status: 200 }),
    )
  })
})

describe('a signal', () => {
  it('lets an upload under way finish, and takes no new connections', async () => {
    await using folder = await makeFolder()
    await using coffer = await startCoffer({ folder: folder.path })
    const upload = await uploadHalf(coffer)
    await expect.poll(() => drafts(coffer), soon).toHaveLength(1)
    coffer.signal('SIGTERM')
    await expect.poll(() => accepts(coffer), soon).toBe(false)
    const id = await upload.finish()
    expect(await coffer.ended).toEqual({ code: 0, signal: null })

    await using again = await startCoffer({ folder: folder.path })
    const answer = await again.fetch(`/v1/files/${id}/content`)
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(upload.content)
  })

  it('cuts what has not ended after COFFER_STOP_SECONDS', async () => {
    await using coffer = await startCoffer({ env: { COFFER_STOP_SECONDS: '1' } })
    const upload = await uploadHalf(coffer)
    await expect.poll(() => drafts(coffer), soon).toHaveLength(1)
    expect(await coffer.stop()).toEqual({ code: 0, signal: null })
    await upload.closed
    expect(await drafts(coffer)).toEqual([])
    expect(coffer.stderr).not.toContain('"level":50')
  })

  it('stops at once when it comes again', async () => {
    await using coffer = await startCoffer({ env: { COFFER_STOP_SECONDS: '600' } })
    const upload = await uploadHalf(coffer)
    await expect.poll(() => drafts(coffer), soon).toHaveLength(1)
    coffer.signal('SIGTERM')
    // Within a tenth of a second it would count as the same wish; see the next test.
    await setTimeout(200)
    coffer.signal('SIGTERM')
    expect(await coffer.ended).toEqual({ code: 0, signal: null })
    await upload.closed
    expect(await drafts(coffer)).toEqual([])
    expect(coffer.stderr).not.toContain('"level":50')
  })

  it('is one with its echo: Ctrl-C comes from the terminal and again from npm', async () => {
    await using coffer = await startCoffer()
    const upload = await uploadHalf(coffer)
    await expect.poll(() => drafts(coffer), soon).toHaveLength(1)
    coffer.signal('SIGINT')
    coffer.signal('SIGTERM')
    await expect.poll(() => accepts(coffer), soon).toBe(false)
    expect(await upload.finish()).toMatch(/^file-/)
    expect(await coffer.ended).toEqual({ code: 0, signal: null })
  })
})

describe.concurrent('a start that cannot be', () => {
  it('says in one sentence that another process has the folder', async () => {
    await using coffer = await startCoffer()
    await using second = runCoffer(['serve', '--listen', '127.0.0.1:0', '--data', coffer.folder])
    expect(await second.ended).toEqual({ code: 1, signal: null })
    expect(second.stderr).toBe(
      `coffer: Cannot start: The folder ${coffer.folder} is in use by another Coffer.\n`,
    )
    expect(second.stdout).toBe('')
    expect(await statusWith(coffer, coffer.key)).toBe(200)
  })

  it('says in one sentence that the address is taken', async () => {
    await using coffer = await startCoffer()
    await using folder = await makeFolder()
    const address = new URL(coffer.url).host
    await using second = runCoffer(['serve', '--listen', address, '--data', folder.path])
    expect(await second.ended).toEqual({ code: 1, signal: null })
    expect(second.stderr).toMatch(/^coffer: Cannot start: .*EADDRINUSE.*\n$/)
    // A key that nobody was shown must not have been made.
    await using third = await startCoffer({ folder: folder.path, key: '' })
    expect(third.stdout).toContain('OPENAI_API_KEY=sk-coffer-')
  })

  it('tells all faulty settings at once, by name', async () => {
    await using program = runCoffer(['serve', '--max-file-bytes', 'much'], {
      COFFER_LISTEN: '3453',
      COFFER_PROFILE: 'closed',
      COFFER_IDLE_SECONDS: '0',
      COFFER_API_KEY: 'sk-secret-of-mine',
      COFFER_API_KEY_FILE: '/nowhere',
    })
    expect(await program.ended).toEqual({ code: 1, signal: null })
    expect(program.stderr).toMatch(/^coffer: These settings cannot be used:\n/)
    const names = program.stderr.match(/^COFFER_\w+(?=: .)/gm)
    expect(names?.sort()).toEqual([
      'COFFER_API_KEY',
      'COFFER_IDLE_SECONDS',
      'COFFER_LISTEN',
      'COFFER_MAX_FILE_BYTES',
      'COFFER_PROFILE',
    ])
    expect(program.stderr).not.toContain('sk-secret-of-mine')
    expect(program.stdout).toBe('')
  })

  it.each([
    [['serve', '--liste', '127.0.0.1:0'], '--liste'],
    [['sevre'], 'sevre'],
    [[], 'serve'],
  ])('ends with 2 for wrong use: coffer %j', async (args, hint) => {
    await using program = runCoffer(args)
    expect(await program.ended).toEqual({ code: 2, signal: null })
    expect(program.stderr).toContain(hint)
    expect(program.stdout).toBe('')
  })
})

describe('--help', () => {
  it('mentions every setting with its default', async () => {
    await using program = runCoffer(['serve', '--help'])
    expect(await program.ended).toEqual({ code: 0, signal: null })
    for (const [name, { standard }] of Object.entries(settings)) {
      expect(program.stdout).toContain(name)
      if (standard !== undefined) expect(program.stdout).toContain(standard)
    }
  })
})

describe('npm start', () => {
  it('serves from a checkout, and a signal to npm leaves no process behind', async () => {
    await using folder = await makeFolder()
    const args = ['start', '--', '--listen', '127.0.0.1:0', '--data', folder.path]
    await using npm = runProgram('npm', args, { folder: repository })
    const [, url = ''] = await npm.printed(/^Coffer is listening on (\S+)$/m)
    const findPid = () => /"pid":(\d+)/.exec(npm.stderr)?.[1]
    await expect.poll(findPid, soon).toBeDefined()
    const pid = Number(findPid())
    expect(isAlive(pid)).toBe(true)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    try {
      npm.signal('SIGTERM')
      await npm.exited
      await expect.poll(() => isAlive(pid), soon).toBe(false)
    } finally {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    }
  })
})

async function statusWith(coffer: Coffer, key: string): Promise<number> {
  const answer = await coffer.fetch('/v1/files', { headers: { authorization: `Bearer ${key}` } })
  return answer.status
}

/** Uploads under way, as the disk has them. */
function drafts({ folder }: Coffer): Promise<string[]> {
  return readdir(join(folder, 'blobs', 'tmp'))
}

/** Whether a new connection is taken. */
async function accepts({ url }: Coffer): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
  } finally {
    socket.destroy()
  }
}

/** The bytes of every file in the folder, one after the other. */
async function readAll(folder: string): Promise<Buffer> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Buffer.concat(
    await Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name)))),
  )
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
