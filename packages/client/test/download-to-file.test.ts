import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type TestServer } from '../../server/test/start-server.ts'
import { ConnectionException, NotFoundException, UnexpectedAnswerException } from '../src/index.ts'
import { downloadToFile } from '../src/node.ts'
import { apiOf } from './api-of.ts'
import { startProxy } from './proxy.ts'
import { startNode } from './run-node.ts'
import { type Act, reset, startScript } from './scripted-server.ts'

const KiB = 1024
const content = randomBytes(600 * KiB)
const etag = etagOf(content)

function etagOf(bytes: Uint8Array): string {
  return `"${createHash('sha256').update(bytes).digest('hex')}"`
}

async function makeFolder() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-download-'))
  return {
    path: join(folder.path, 'file.bin'),
    in: (name: string) => join(folder.path, name),
    names: async () => (await readdir(folder.path)).sort(),
    [Symbol.asyncDispose]: () => folder.remove(),
  }
}

/** The name that a draft of a file has. */
function draftOf(name: string, tag: string): string {
  return `.${name}.${Buffer.from(tag).toString('base64url')}.coffer-part`
}

/** An answer that halts after `part`, though it announced more. */
function halting(part: Uint8Array, headers: Record<string, string>): Act {
  return (response) => {
    response.writeHead(200, { 'content-length': String(content.length), ...headers }).write(part)
  }
}

let shared: TestServer
beforeAll(async () => {
  shared = await startServer()
})
afterAll(() => shared[Symbol.asyncDispose]())

/** An organization of its own for a test, on the server that all share. */
async function makeTenant() {
  return { ...(await shared.addTenant()), url: shared.url }
}

describe.concurrent('downloadToFile', () => {
  it('writes the whole file, and tells how far it is', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    const told: [number, number | undefined][] = []
    const downloaded = await downloadToFile(apiOf(server), id, folder.path, {
      onProgress: (...progress) => told.push(progress),
    })
    expect(downloaded).toEqual({ bytes: content.length, sha256: JSON.parse(etag) })
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
    expect(told.at(-1)).toEqual([content.length, content.length])
  })

  it('writes a file whose name is as long as a file system takes', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    for (const name of ['a'.repeat(255), 'é'.repeat(127)]) {
      await downloadToFile(apiOf(server), id, folder.in(name))
      expect(await readFile(folder.in(name))).toEqual(content)
    }
    expect(await folder.names()).toHaveLength(2)
  })

  it('writes an empty file', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create('')
    await downloadToFile(apiOf(server), id, folder.path)
    expect(await readFile(folder.path)).toEqual(Buffer.alloc(0))
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('refuses to replace a file, before it asks the server', async () => {
    await using server = await startScript()
    await using folder = await makeFolder()
    await writeFile(folder.path, 'mine')
    const done = downloadToFile(server.api(), 'file-1', folder.path)
    await expect(done).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await readFile(folder.path, 'utf8')).toBe('mine')
    expect(server.requests).toEqual([])
  })

  it('refuses to replace a file that came up meanwhile', async () => {
    await using folder = await makeFolder()
    await using server = await startScript(async (response) => {
      await writeFile(folder.path, 'mine')
      response.end('theirs')
    })
    const done = downloadToFile(server.api(), 'file-1', folder.path)
    await expect(done).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await readFile(folder.path, 'utf8')).toBe('mine')
  })

  it('replaces a file if it is told to', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    await writeFile(folder.path, 'old')
    const { id } = await server.create(content)
    await downloadToFile(apiOf(server), id, folder.path, { overwrite: true })
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('leaves what is there alone if there is no such file', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    await writeFile(folder.path, 'old')
    const done = downloadToFile(apiOf(server), 'file-none', folder.path, { overwrite: true })
    await expect(done).rejects.toThrow(NotFoundException)
    expect(await readFile(folder.path, 'utf8')).toBe('old')
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('throws the reason of a signal, and goes on from there the next time', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    await using proxy = await startProxy(server.url)
    const { id } = await server.create(content)
    const api = apiOf({ ...server, url: proxy.url })
    const reason = new Error('Enough.')
    const controller = new AbortController()
    const { signal } = controller
    let at = 0
    const done = downloadToFile(api, id, folder.path, {
      signal,
      onProgress(received) {
        at = received
        controller.abort(reason)
      },
    })
    await expect(done).rejects.toBe(reason)
    expect(await folder.names()).toEqual([draftOf('file.bin', etag)])
    const downloaded = await downloadToFile(api, id, folder.path)
    expect(downloaded).toEqual({ bytes: content.length, sha256: JSON.parse(etag) })
    expect(await readFile(folder.path)).toEqual(content)
    expect(proxy.requests[1]?.headers.range).toBe(`bytes=${at}-`)
  })
})

describe.concurrent('a download that broke off', () => {
  it('goes on within the call, as often as new bytes come', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const haltAfter = (number: number) => (number < 5 ? 100_000 : undefined)
    await using proxy = await startProxy(server.url, { haltAfter })
    const { id } = await server.create(content)
    const told: number[] = []
    await downloadToFile(apiOf({ ...server, url: proxy.url }), id, folder.path, {
      onProgress(received) {
        told.push(received)
        if (received === proxy.requests.length * 100_000) proxy.breakConnections()
      },
    })
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
    expect(told).toEqual(told.toSorted((a, b) => a - b))
    expect(proxy.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      ...[1, 2, 3, 4, 5].map((times) => `bytes=${times * 100_000}-`),
    ])
    expect(proxy.requests.map((request) => request.headers['if-range'])).toEqual([
      undefined,
      ...Array<string>(5).fill(etag),
    ])
  })

  it('is given up when no new bytes come', async () => {
    await using folder = await makeFolder()
    const first = halting(content.subarray(0, 1000), { etag })
    await using server = await startScript(first, reset, reset, reset)
    const done = downloadToFile(server.api({ maxRetries: 0 }), 'file-1', folder.path, {
      onProgress: () => server.breakConnections(),
    })
    await expect(done).rejects.toThrow(ConnectionException)
    expect(server.requests).toHaveLength(4)
    expect(await folder.names()).toEqual([draftOf('file.bin', etag)])
  })

  it('is given up when each try ends where the one before it did, without an ETag', async () => {
    await using folder = await makeFolder()
    const half = halting(content.subarray(0, 1000), {})
    await using server = await startScript(half, half, half, half)
    const done = downloadToFile(server.api({ maxRetries: 0 }), 'file-1', folder.path, {
      onProgress: () => server.breakConnections(),
    })
    await expect(done).rejects.toThrow(ConnectionException)
    expect(server.requests).toHaveLength(4)
    expect(server.requests.map(({ headers }) => headers.range)).toEqual(Array(4).fill(undefined))
  })

  it('begins anew where the content became another', async () => {
    await using folder = await makeFolder()
    const other = randomBytes(5000)
    const first = halting(content.subarray(0, 1000), { etag })
    const second = { headers: { etag: etagOf(other) }, body: other }
    await using server = await startScript(first, second)
    await downloadToFile(server.api(), 'file-1', folder.path, {
      onProgress(received) {
        if (received === 1000) server.breakConnections()
      },
    })
    expect(await readFile(folder.path)).toEqual(other)
    expect(await folder.names()).toEqual(['file.bin'])
    expect(server.requests[1]?.headers).toMatchObject({ range: 'bytes=1000-', 'if-range': etag })
  })

  it('begins anew where the server gives another range than was asked for', async () => {
    await using folder = await makeFolder()
    await writeFile(folder.in(draftOf('file.bin', etag)), content.subarray(0, 1000))
    const headers = { etag, 'content-range': `bytes 2000-${content.length - 1}/${content.length}` }
    const wrong = { status: 206, headers, body: content.subarray(2000) }
    await using server = await startScript(wrong, { headers: { etag }, body: content })
    await downloadToFile(server.api(), 'file-1', folder.path)
    expect(await readFile(folder.path)).toEqual(content)
  })

  it('begins anew where the server gives a range of other content', async () => {
    await using folder = await makeFolder()
    await writeFile(folder.in(draftOf('file.bin', '"old"')), randomBytes(1000))
    const headers = { etag, 'content-range': `bytes 1000-${content.length - 1}/${content.length}` }
    const wrong = { status: 206, headers, body: content.subarray(1000) }
    await using server = await startScript(wrong, { headers: { etag }, body: content })
    await downloadToFile(server.api(), 'file-1', folder.path)
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('goes on after its process was killed', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const haltAfter = (number: number) => (number === 0 ? 200_000 : undefined)
    await using proxy = await startProxy(server.url, { haltAfter })
    const { id } = await server.create(content)
    const program = join(import.meta.dirname, 'download-program.ts')
    const host = `${proxy.url}/v1`
    const first = startNode(program, [host, server.apiKey, id, folder.path])
    let printed = ''
    first.child.stdout?.setEncoding('utf8').on('data', (text) => {
      printed += text
    })
    while (!printed.includes('200000\n')) await once(first.child.stdout ?? first.child, 'data')
    first.child.kill('SIGKILL')
    expect((await first.ended).code).toBeNull()
    expect(await folder.names()).toEqual([draftOf('file.bin', etag)])

    const second = await startNode(program, [host, server.apiKey, id, folder.path]).ended
    expect(second).toMatchObject({ code: 0, stderr: '' })
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
    expect(proxy.requests[1]?.headers).toMatchObject({ range: 'bytes=200000-', 'if-range': etag })
  })
})

describe.concurrent('a draft', () => {
  it('that is whole gets its name', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    await writeFile(folder.in(draftOf('file.bin', etag)), content)
    await downloadToFile(apiOf(server), id, folder.path)
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('that is longer than the file is not used', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    await writeFile(folder.in(draftOf('file.bin', etag)), Buffer.concat([content, content]))
    await downloadToFile(apiOf(server), id, folder.path)
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('that is empty is not left behind', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    await writeFile(folder.in(draftOf('file.bin', '"old"')), '')
    await downloadToFile(apiOf(server), id, folder.path)
    expect(await folder.names()).toEqual(['file.bin'])
  })

  it('of another file whose name begins alike is left alone', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    const others = [
      draftOf('file.bin.old', '"1"'),
      draftOf('file.bin.a', etag),
      '.file.bin.x.coffer-part',
    ]
    for (const name of others) await writeFile(folder.in(name), 'of another')
    await downloadToFile(apiOf(server), id, folder.path)
    expect(await readFile(folder.path)).toEqual(content)
    expect(await folder.names()).toEqual([...others, 'file.bin'].sort())
  })
})

describe.concurrent('bytes that are not those of the ETag', () => {
  it('are refused, and nothing is left', async () => {
    await using folder = await makeFolder()
    const damaged = Buffer.from(content)
    damaged[1000] = (content[1000] ?? 0) ^ 1
    await using server = await startScript({ headers: { etag }, body: damaged })
    const done = downloadToFile(server.api(), 'file-1', folder.path)
    await expect(done).rejects.toThrow(UnexpectedAnswerException)
    expect(await folder.names()).toEqual([])
  })

  it('are refused where the draft was damaged, and what was there stays', async () => {
    const server = await makeTenant()
    await using folder = await makeFolder()
    const { id } = await server.create(content)
    await writeFile(folder.path, 'old')
    await writeFile(folder.in(draftOf('file.bin', etag)), Buffer.alloc(1000))
    const api = apiOf(server)
    const done = downloadToFile(api, id, folder.path, { overwrite: true })
    await expect(done).rejects.toThrow(
      'The bytes that came are not those that the ETag stands for.',
    )
    expect(await readFile(folder.path, 'utf8')).toBe('old')
    expect(await folder.names()).toEqual(['file.bin'])
    await downloadToFile(api, id, folder.path, { overwrite: true })
    expect(await readFile(folder.path)).toEqual(content)
  })

  it('cannot be told where the ETag is of another kind, or missing', async () => {
    await using folder = await makeFolder()
    const weak = { headers: { etag: 'W/"abc"' }, body: 'some' }
    await using server = await startScript(weak, { body: 'more' })
    await downloadToFile(server.api(), 'file-1', folder.path)
    await downloadToFile(server.api(), 'file-1', folder.path, { overwrite: true })
    expect(await readFile(folder.path, 'utf8')).toBe('more')
    expect(await folder.names()).toEqual(['file.bin'])
  })
})
