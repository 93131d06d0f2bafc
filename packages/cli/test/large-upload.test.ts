import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ProxiedRequest, startProxy } from '../../client/test/proxy.ts'
import { run } from '../src/run.ts'
import { fakeIo, type Outcome, runFake } from './fake-io.ts'
import { startScripted } from './scripted-server.ts'
import { type Coffer, type Folder, makeFolder, runCoffer, startCoffer } from './start-coffer.ts'

const MiB = 1024 * 1024
/** Seven parts. */
const content = randomBytes(100 * MiB)

let coffer: Coffer
let folder: Folder
let path: string
beforeAll(async () => {
  coffer = await startCoffer()
})
afterAll(() => coffer?.[Symbol.asyncDispose]())
beforeEach(async () => {
  folder = await makeFolder()
  path = join(folder.path, 'large.bin')
  await writeFile(path, content)
})
afterEach(() => folder[Symbol.asyncDispose]())

function environment(url = coffer.url) {
  const XDG_STATE_HOME = join(folder.path, 'state')
  return { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: coffer.key, XDG_STATE_HOME }
}

const go = (args: readonly string[], url?: string) => runFake(args, { env: environment(url) })

/** Stands before the server, and counts the parts that come by. */
async function openDoor() {
  const proxy = await startProxy(coffer.url)
  const isPart = ({ method, url }: ProxiedRequest) => method === 'POST' && url.endsWith('/parts')
  const parts = () => proxy.requests.filter(isPart).length
  return { ...proxy, parts }
}

async function keptStates(): Promise<string[]> {
  return readdir(join(folder.path, 'state', 'coffer', 'uploads'))
}

/** The only file at the server, which must have the content; it is deleted. */
async function takeFile(outcome: Outcome): Promise<void> {
  expect(outcome, outcome.stderr).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^file-\w+ {2}large\.bin\n$/),
  })
  const [id] = outcome.stdout.split(' ')
  const answer = await coffer.fetch(`/v1/files/${id}/content`)
  expect(Buffer.from(await answer.arrayBuffer()).equals(content)).toBe(true)
  const list = (await (await coffer.fetch('/v1/files')).json()) as { data: unknown[] }
  expect(list.data).toHaveLength(1)
  await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
}

/** Ends an upload at Ctrl-C once so many parts have come; gives how many are kept. */
async function breakOff(url: string, parts: number): Promise<number> {
  const io = fakeIo({ env: environment(url) })
  const ended = run(['upload', path], io)
  await keeping(parts)
  io.emit('SIGINT')
  expect(await ended).toBe(130)
  expect(io.written.stderr).toBe(
    `The same command with --resume sends the rest: ${path}\ncoffer: Stopped.\n`,
  )
  return countKept()
}

/** Waits until so many parts are known to have come: the file that tells is replaced each time. */
async function keeping(parts: number): Promise<void> {
  while ((await countKept()) < parts) await setImmediate()
}

async function countKept(): Promise<number> {
  const [name] = await keptStates().catch(() => [])
  if (name === undefined || !name.endsWith('.json')) return 0
  const text = await readFile(join(folder.path, 'state', 'coffer', 'uploads', name), 'utf8')
  const { state } = JSON.parse(text) as { state: { parts: unknown[] } }
  return state.parts.filter((part) => part !== null).length
}

describe('coffer upload of more than 64 MiB', () => {
  it('sends parts, and keeps nothing of it', async () => {
    await using door = await openDoor()
    const outcome = await go(['upload', path], door.url)
    expect(outcome.stderr).toBe('')
    expect(door.parts()).toBe(7)
    await takeFile(outcome)
    expect(await keptStates()).toEqual([])
  })

  it('goes on after Ctrl-C with --resume', async () => {
    await using door = await openDoor()
    const kept = await breakOff(door.url, 2)
    const before = door.parts()
    await takeFile(await go(['upload', '--resume', path], door.url))
    // A part may have come whose answer did not.
    expect(door.parts() - before).toBeLessThanOrEqual(7 - kept)
    expect(await keptStates()).toEqual([])
  })

  it('goes on after the program was killed', async () => {
    await using door = await openDoor()
    const program = runCoffer(['upload', path], environment(door.url))
    await keeping(2)
    program.signal('SIGKILL')
    await program.ended
    const kept = await countKept()
    const before = door.parts()
    await takeFile(await go(['upload', '--resume', path], door.url))
    // A part may have come whose answer did not.
    expect(door.parts() - before).toBeLessThanOrEqual(7 - kept)
  })

  it('begins again without --resume, or when the file has changed', async () => {
    await using door = await openDoor()
    await breakOff(door.url, 1)
    const before = door.parts()
    await takeFile(await go(['upload', path], door.url))
    expect(door.parts() - before).toBe(7)
    await breakOff(door.url, 1)
    // As `cp -p` or a build that is reproducible would change it: its size and time stay.
    const { atime, mtime } = await stat(path)
    content.writeUInt8(content.readUInt8(0) ^ 1, 0)
    await writeFile(path, content)
    await utimes(path, atime, mtime)
    const again = door.parts()
    await takeFile(await go(['upload', '--resume', path], door.url))
    expect(door.parts() - again).toBe(7)
  })

  it('begins again when the file has another size, and says so', async () => {
    await using door = await openDoor()
    await breakOff(door.url, 1)
    await writeFile(path, content.subarray(1))
    const outcome = await go(['upload', '--resume', path], door.url)
    expect(outcome.code).toBe(0)
    expect(outcome.stderr).toBe(`Sent from its beginning, as it has another size now: ${path}\n`)
    await coffer.fetch(`/v1/files/${outcome.stdout.split(' ')[0]}`, { method: 'DELETE' })
  })

  it('says that it can go on when the server is gone', async () => {
    await using other = await startCoffer({ key: coffer.key })
    const ended = go(['upload', path], other.url)
    await keeping(1)
    await other.kill()
    const { code, stdout, stderr } = await ended
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^The same command with --resume sends the rest: .*\nNot uploaded: /)
    expect(await keptStates()).toHaveLength(1)
  })

  it('sends one request to a server that does not know Uploads', async () => {
    const asked: string[] = []
    let bytes = 0
    await using server = await startScripted((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      const isFiles = request.url === '/v1/files'
      request.on('data', (piece: Buffer) => {
        bytes += piece.length
      })
      request.on('end', () => {
        response.writeHead(isFiles ? 200 : 404, { 'content-type': 'application/json' })
        response.end(JSON.stringify(isFiles ? { id: 'file-1', filename: 'large.bin' } : {}))
      })
    })
    const outcome = await runFake(['upload', path], { env: { ...environment(), ...server.env } })
    expect(outcome).toEqual({ code: 0, stdout: 'file-1  large.bin\n', stderr: '' })
    expect(asked).toEqual(['POST /v1/uploads', 'POST /v1/files'])
    expect(bytes).toBeGreaterThan(content.length)
  })

  it('says in one sentence what the server refuses, and keeps nothing', async () => {
    const outcome = await go(['upload', path, '--expires-after', '1'])
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(/^Not uploaded: .*expires_after.seconds.*\n$/)
    await expect(keptStates()).rejects.toThrow('ENOENT')
  })

  it('works where nothing can be kept, and says what that means', async () => {
    await writeFile(join(folder.path, 'state'), 'This is no folder.')
    const outcome = await go(['upload', path])
    expect(outcome.stderr).toBe(
      `If it breaks off, --resume cannot go on: ${path}: a part of its path is no folder.\n`,
    )
    await takeFile(outcome)
  })

  it('gives up what can never come', async () => {
    await using door = await openDoor()
    const io = fakeIo({ env: environment(door.url) })
    const ended = run(['upload', path], io)
    await keeping(1)
    const { url = '' } = door.requests.find((one) => one.url.endsWith('/parts')) ?? {}
    await coffer.fetch(url.replace('/parts', '/cancel'), { method: 'POST' })
    expect(await ended).toBe(1)
    expect(io.written.stderr).toMatch(/^Not uploaded: .*cancelled.*\n$/)
    expect(await keptStates()).toEqual([])
  })
})
