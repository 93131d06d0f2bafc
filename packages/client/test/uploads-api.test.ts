import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type TestServer } from '../../server/test/start-server.ts'
import {
  ApiClient,
  BadRequestException,
  Configuration,
  FilesApi,
  type LargeUploadOptions,
  type LargeUploadState,
  NotFoundException,
  type OpenAIFile,
  ServiceException,
  type Uploadable,
  UploadsApi,
  uploadLargeFile,
} from '../src/index.ts'
import { fileFromPath } from '../src/node.ts'
import { startNode } from './run-node.ts'
import { testFetch } from './test-fetch.ts'

const KiB = 1024
const partBytes = 100 * KiB
const content = randomBytes(9 * partBytes + 1)
const send: typeof fetch = testFetch ?? fetch

let now = 1_800_000_000
let shared: TestServer
beforeAll(async () => {
  shared = await startServer({ clock: { now: () => now } })
})
afterAll(() => shared[Symbol.asyncDispose]())

/** The APIs of a tenant of its own, whose requests a test may hold up. */
async function makeTenant(through: typeof fetch = send, maxRetries = 0) {
  const { apiKey, project_id } = await shared.addTenant()
  const host = `${shared.url}/v1`
  const client = new ApiClient(
    new Configuration({ host, accessToken: apiKey, maxRetries, fetch: through }),
  )
  return { uploads: new UploadsApi(client), files: new FilesApi(client), host, apiKey, project_id }
}

async function contentOf(files: FilesApi, { id }: { id: string }): Promise<Buffer> {
  return Buffer.from(await (await files.openFile(id)).arrayBuffer())
}

function isPart(input: unknown): boolean {
  return String(input).endsWith('/parts')
}

/** Sends requests and remembers those of parts. */
function counting() {
  const parts: string[] = []
  const through: typeof fetch = (input, init) => {
    if (isPart(input) && init?.method === 'POST') parts.push(String(input))
    return send(input, init)
  }
  return { parts, through }
}

async function makeFile() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-client-'))
  const path = join(folder.path, 'large.bin')
  await writeFile(path, content)
  return { path, [Symbol.asyncDispose]: () => folder.remove() }
}

describe('UploadsApi', () => {
  it('creates an Upload, adds its parts in any order, tells what came and completes it', async () => {
    const { uploads, files } = await makeTenant()
    const upload = await uploads.createUpload({
      ...{ filename: 'a.txt', purpose: 'user_data', bytes: 6, mimeType: 'text/plain' },
      expiresAfterSeconds: 3600,
    })
    expect(upload).toMatchObject({ status: 'pending', bytes: 6, filename: 'a.txt', file: null })
    const sha256 = createHash('sha256').update('def').digest('hex')
    const second = await uploads.addUploadPart(upload.id, Buffer.from('def'), { sha256 })
    const first = await uploads.addUploadPart(upload.id, new Blob(['abc']))
    expect(second).toMatchObject({ upload_id: upload.id, bytes: 3, sha256 })
    const page = await uploads.listUploadParts(upload.id, { limit: 1 })
    expect(page).toMatchObject({ data: [second], has_more: true })
    const rest = await uploads.listUploadParts(upload.id, { after: second.id })
    expect(rest).toMatchObject({ data: [first], has_more: false })
    const md5 = createHash('md5').update('abcdef').digest('hex')
    const completed = await uploads.completeUpload(upload.id, [first.id, second.id], { md5 })
    expect(completed).toMatchObject({ status: 'completed', file: { bytes: 6 } })
    expect(await uploads.retrieveUpload(upload.id)).toEqual(completed)
    const { id = '', expires_at, created_at } = completed.file ?? {}
    expect(Number(expires_at) - Number(created_at)).toBe(3600)
    expect(await files.downloadFile(id)).toBe('abcdef')
  })

  it('cancels an Upload', async () => {
    const { uploads } = await makeTenant()
    const { id } = await uploads.createUpload({ filename: 'a', purpose: 'user_data', bytes: 6 })
    expect(await uploads.cancelUpload(id)).toMatchObject({ id, status: 'cancelled' })
    await expect(uploads.addUploadPart(id, Buffer.from('abc'))).rejects.toThrow(BadRequestException)
  })

  it('throws what the server refuses', async () => {
    const { uploads } = await makeTenant()
    const { id } = await uploads.createUpload({ filename: 'a', purpose: 'user_data', bytes: 6 })
    const sha256 = '0'.repeat(64)
    const damaged = uploads.addUploadPart(id, Buffer.from('abc'), { sha256 })
    await expect(damaged).rejects.toThrow(/SHA-256/)
    await expect(uploads.completeUpload(id, ['part_none'])).rejects.toThrow(/part_none/)
    await expect(uploads.retrieveUpload('upload_none')).rejects.toThrow(NotFoundException)
    await expect(uploads.retrieveUpload('')).rejects.toThrow(TypeError)
  })
})

describe('uploadLargeFile', () => {
  it.each<[string, (path: string) => Uploadable | Promise<Uploadable>]>([
    ['bytes', () => content],
    ['a Blob', () => new Blob([content])],
    ['a path', (path) => fileFromPath(path)],
  ])('sends %s in parts, and tells how far it is', async (_, open) => {
    await using file = await makeFile()
    const { parts, through } = counting()
    const { uploads, files } = await makeTenant(through)
    const seen: number[] = []
    const stored = await uploadLargeFile(uploads, await open(file.path), 'user_data', {
      ...{ filename: 'whole.bin', partBytes, parallel: 3 },
      md5: createHash('md5').update(content).digest('hex'),
      onProgress: (sent, bytes) => {
        expect(bytes).toBe(content.length)
        seen.push(sent)
      },
    })
    expect(stored).toMatchObject({ filename: 'whole.bin', bytes: content.length })
    expect(parts).toHaveLength(10)
    expect(seen).toEqual(seen.toSorted((one, other) => one - other))
    expect(seen.at(-1)).toBe(content.length)
    expect((await contentOf(files, stored)).equals(content)).toBe(true)
  })

  it('sends content without a byte', async () => {
    const { uploads, files } = await makeTenant()
    const stored = await uploadLargeFile(uploads, new Uint8Array(), 'user_data')
    expect(await contentOf(files, stored)).toEqual(Buffer.alloc(0))
  })

  it('refuses content that cannot be read in parts', async () => {
    const { uploads } = await makeTenant()
    const stream = Readable.toWeb(Readable.from([content])) as ReadableStream<Uint8Array>
    await expect(uploadLargeFile(uploads, stream, 'user_data')).rejects.toThrow(TypeError)
  })

  it.each([{ partBytes: 0 }, { partBytes: 1.5 }, { parallel: 0 }, { parallel: Number.NaN }])(
    'refuses %j',
    async (options) => {
      const { uploads } = await makeTenant()
      const refused = uploadLargeFile(uploads, content, 'user_data', options)
      await expect(refused).rejects.toThrow(/must be a whole number from 1 on/)
    },
  )

  it('has as many parts under way as it may', async () => {
    let underWay = 0
    let most = 0
    const through: typeof fetch = async (input, init) => {
      if (!isPart(input)) return send(input, init)
      underWay += 1
      most = Math.max(most, underWay)
      try {
        return await send(input, init)
      } finally {
        underWay -= 1
      }
    }
    const { uploads } = await makeTenant(through)
    await uploadLargeFile(uploads, content, 'user_data', { partBytes, parallel: 3 })
    expect(most).toBe(3)
  })

  it('sends a part again that failed in a way that may pass, and only that', async () => {
    let parts = 0
    const through: typeof fetch = (input, init) => {
      if (!isPart(input)) return send(input, init)
      parts += 1
      return parts === 4 ? Promise.reject(new TypeError('The line is cut.')) : send(input, init)
    }
    const { uploads, files } = await makeTenant(through, 1)
    const stored = await uploadLargeFile(uploads, content, 'user_data', { partBytes })
    expect(parts).toBe(11)
    expect((await contentOf(files, stored)).equals(content)).toBe(true)
  })

  /** Lets so many parts pass, then none. */
  function failingAfter(count: number): typeof fetch {
    let parts = 0
    return (input, init) => {
      if (!isPart(input)) return send(input, init)
      parts += 1
      return parts > count
        ? Promise.resolve(new Response('{}', { status: 500 }))
        : send(input, init)
    }
  }

  /** Lets all parts pass, and so many of their answers. */
  function silentAfter(count: number): typeof fetch {
    let answers = 0
    return async (input, init) => {
      const response = await send(input, init)
      if (!isPart(input)) return response
      answers += 1
      return answers > count ? new Response('{}', { status: 500 }) : response
    }
  }

  async function statusesOf({
    project_id,
  }: Awaited<ReturnType<typeof makeTenant>>): Promise<string[]> {
    const sql = 'select status from uploads where project_id = ?'
    const rows = await shared.query<{ status: string }>(sql, project_id)
    return rows.map(({ status }) => status)
  }

  it('cancels the Upload when it fails and nobody could go on', async () => {
    const tenant = await makeTenant(failingAfter(3))
    const failed = uploadLargeFile(tenant.uploads, content, 'user_data', { partBytes })
    await expect(failed).rejects.toThrow(ServiceException)
    expect(await statusesOf(tenant)).toEqual(['cancelled'])
  })

  it('ends with the reason of its signal, and cancels the Upload', async () => {
    const tenant = await makeTenant()
    const controller = new AbortController()
    const reason = new Error('Enough.')
    const ended = uploadLargeFile(tenant.uploads, content, 'user_data', {
      ...{ partBytes, signal: controller.signal },
      onProgress: () => controller.abort(reason),
    })
    await expect(ended).rejects.toBe(reason)
    expect(await statusesOf(tenant)).toEqual(['cancelled'])
  })

  /** Fails after so many parts; gives what was to be kept. */
  async function breakOff(
    tenant: Awaited<ReturnType<typeof makeTenant>>,
    options: LargeUploadOptions = {},
  ) {
    const states: LargeUploadState[] = []
    const failed = uploadLargeFile(tenant.uploads, content, 'user_data', {
      ...{ partBytes, parallel: 1, ...options },
      onState: (state) => void states.push(JSON.parse(JSON.stringify(state))),
    })
    await expect(failed).rejects.toThrow(ServiceException)
    const state = states.at(-1)
    if (state === undefined) throw new Error('There was nothing to keep.')
    return state
  }

  /** Another client of the same tenant. */
  function again({ host, apiKey }: Awaited<ReturnType<typeof makeTenant>>, through: typeof fetch) {
    const configuration = { host, accessToken: apiKey, maxRetries: 0, fetch: through }
    const client = new ApiClient(new Configuration(configuration))
    return { uploads: new UploadsApi(client), files: new FilesApi(client) }
  }

  it('goes on with what is missing, and tells of all', async () => {
    const broken = await makeTenant(failingAfter(6))
    const resume = await breakOff(broken)
    expect(resume.parts.filter((part) => part !== null)).toHaveLength(6)
    expect(await statusesOf(broken)).toEqual(['pending'])
    const { parts, through } = counting()
    const { uploads, files } = again(broken, through)
    const seen: number[] = []
    const options = { resume, onProgress: (sent: number) => seen.push(sent) }
    const stored = await uploadLargeFile(uploads, content, 'user_data', options)
    expect(parts).toHaveLength(4)
    expect(Math.min(...seen)).toBeGreaterThan(6 * partBytes)
    expect(seen.at(-1)).toBe(content.length)
    expect((await contentOf(files, stored)).equals(content)).toBe(true)
  })

  it('gives the file of an Upload whose completion nobody heard of', async () => {
    let stored: OpenAIFile | undefined
    const through: typeof fetch = async (input, init) => {
      const response = await send(input, init)
      if (!String(input).endsWith('/complete')) return response
      const { file } = (await response.json()) as { file: OpenAIFile }
      stored = file
      return new Response('{}', { status: 500 })
    }
    const broken = await makeTenant(through)
    const resume = await breakOff(broken)
    const { parts, through: next } = counting()
    const { uploads } = again(broken, next)
    expect(await uploadLargeFile(uploads, content, 'user_data', { resume })).toEqual(stored)
    expect(parts).toEqual([])
  })

  it('begins anew where the Upload was completed, and the content is another now', async () => {
    const through: typeof fetch = async (input, init) => {
      const response = await send(input, init)
      return String(input).endsWith('/complete') ? new Response('{}', { status: 500 }) : response
    }
    const broken = await makeTenant(through)
    const resume = await breakOff(broken)
    const changed = Buffer.from(content)
    changed.writeUInt8((changed.at(-1) ?? 0) ^ 1, changed.length - 1)
    const { uploads, files } = again(broken, send)
    const stored = await uploadLargeFile(uploads, changed, 'user_data', { resume, partBytes })
    expect((await contentOf(files, stored)).equals(changed)).toBe(true)
    expect(await statusesOf(broken)).toEqual(['completed', 'completed'])
  })

  it('begins anew where the Upload was completed, and not all is known of its parts', async () => {
    const through: typeof fetch = async (input, init) => {
      const response = await send(input, init)
      return String(input).endsWith('/complete') ? new Response('{}', { status: 500 }) : response
    }
    const broken = await makeTenant(through)
    const { parts: known, ...rest } = await breakOff(broken)
    const resume = { ...rest, parts: [...known.slice(0, -1), null] }
    const { parts, through: next } = counting()
    const { uploads } = again(broken, next)
    await uploadLargeFile(uploads, content, 'user_data', { resume, partBytes })
    expect(parts).toHaveLength(10)
  })

  it.each([
    ['is unknown', (state: LargeUploadState) => ({ ...state, uploadId: 'upload_none' })],
    [
      'has expired',
      (state: LargeUploadState) => {
        now += 3600
        return state
      },
    ],
  ])('begins anew where the Upload %s', async (_, change) => {
    const broken = await makeTenant(failingAfter(6))
    const resume = change(await breakOff(broken))
    const { parts, through } = counting()
    const { uploads, files } = again(broken, through)
    const stored = await uploadLargeFile(uploads, content, 'user_data', { resume, partBytes })
    expect(parts).toHaveLength(10)
    expect((await contentOf(files, stored)).equals(content)).toBe(true)
  })

  it('begins anew with content that is not as it was, and gives the other up', async () => {
    const broken = await makeTenant(failingAfter(6))
    const resume = await breakOff(broken)
    const changed = Buffer.from(content)
    changed.writeUInt8((changed[2 * partBytes] ?? 0) ^ 1, 2 * partBytes)
    const { parts, through } = counting()
    const { uploads, files } = again(broken, through)
    const stored = await uploadLargeFile(uploads, changed, 'user_data', { resume, partBytes })
    expect(parts).toHaveLength(10)
    expect((await contentOf(files, stored)).equals(changed)).toBe(true)
    expect((await statusesOf(broken)).toSorted()).toEqual(['cancelled', 'completed'])
  })

  it('does not send again what came and was not answered', async () => {
    const broken = await makeTenant(silentAfter(3))
    const resume = await breakOff(broken)
    expect(resume.parts.filter((part) => part !== null)).toHaveLength(3)
    const { parts, through: next } = counting()
    const { uploads, files } = again(broken, next)
    const told: number[] = []
    const stored = await uploadLargeFile(uploads, content, 'user_data', {
      ...{ resume, partBytes },
      onState: (state) => void told.push(state.parts.filter((part) => part !== null).length),
    })
    expect(parts).toHaveLength(6)
    expect(told[0]).toBe(4)
    expect((await contentOf(files, stored)).equals(content)).toBe(true)
  })

  it('begins anew where what came unanswered is not what the content has now', async () => {
    const broken = await makeTenant(silentAfter(3))
    const resume = await breakOff(broken)
    const changed = Buffer.from(content)
    changed.writeUInt8((changed[3 * partBytes] ?? 0) ^ 1, 3 * partBytes)
    const { parts, through: next } = counting()
    const { uploads, files } = again(broken, next)
    const stored = await uploadLargeFile(uploads, changed, 'user_data', { resume, partBytes })
    expect(parts).toHaveLength(10)
    expect((await contentOf(files, stored)).equals(changed)).toBe(true)
  })

  it.each([404, 405, 501])('begins anew where %i is all that is known of it', async (status) => {
    const broken = await makeTenant(failingAfter(6))
    const resume = await breakOff(broken)
    const { parts, through } = counting()
    const { uploads } = again(broken, (input, init) =>
      init?.method === 'GET'
        ? Promise.resolve(new Response('{}', { status }))
        : through(input, init),
    )
    await uploadLargeFile(uploads, content, 'user_data', { resume, partBytes })
    expect(parts).toHaveLength(10)
  })

  it('tells what has arrived in order, and one call at a time', async () => {
    const { uploads } = await makeTenant()
    const counts: number[] = []
    let isTold = true
    await uploadLargeFile(uploads, content, 'user_data', {
      ...{ partBytes, parallel: 4 },
      async onState({ parts }) {
        expect(isTold).toBe(true)
        isTold = false
        const count = parts.filter((part) => part !== null).length
        // The later, the sooner it is done.
        for (let turn = count; turn < 10; turn += 1) await setImmediate()
        counts.push(count)
        isTold = true
      },
    })
    expect(counts).toEqual(counts.toSorted((one, other) => one - other))
    expect(counts.at(-1)).toBe(10)
  })

  it('refuses to go on with content of another size', async () => {
    const broken = await makeTenant(failingAfter(6))
    const resume = await breakOff(broken)
    const other = uploadLargeFile(broken.uploads, content.subarray(1), 'user_data', { resume })
    await expect(other).rejects.toThrow(/has 921600 bytes, and had 921601/)
  })

  it('goes on after its process was killed', async () => {
    await using file = await makeFile()
    const tenant = await makeTenant()
    const program = join(import.meta.dirname, 'large-upload-program.ts')
    const args = [tenant.host, tenant.apiKey, file.path, String(partBytes)]
    const { child } = startNode(program, args)
    if (child.stdout === null) throw new Error('It prints nothing.')
    let resume: LargeUploadState | undefined
    for await (const line of createInterface({ input: child.stdout })) {
      resume = JSON.parse(line)
      if (resume?.parts.filter((part) => part !== null).length === 4) break
    }
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    const { parts, through } = counting()
    const { uploads, files } = again(tenant, through)
    const source = await fileFromPath(file.path)
    const stored = await uploadLargeFile(uploads, source, 'user_data', { resume })
    // A part may have come whose answer did not.
    expect(parts.length).toBeLessThanOrEqual(6)
    expect((await contentOf(files, stored)).equals(content)).toBe(true)
  })
})
