import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { type Browser, chromium, type Page } from 'playwright-core'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type TestServer } from '../../server/test/start-server.ts'

/** What the page has: the client, and an api of it. */
declare global {
  var coffer: typeof import('../src/index.ts')
  var api: import('../src/index.ts').FilesApi
  var uploads: import('../src/index.ts').UploadsApi
}

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const hasChromium = existsSync(executablePath)
const mayBeSkipped = process.env['CI'] !== 'true'
if (!hasChromium && mayBeSkipped) console.warn('skipped: no Chromium')

const MiB = 1024 * 1024

/** The client as one script for browsers. */
async function bundle(): Promise<string> {
  const build = await rolldown({
    input: join(import.meta.dirname, '../src/index.ts'),
    platform: 'browser',
    resolve: { conditionNames: ['source', 'import'] },
    onLog(_, log) {
      throw new Error(log.message)
    },
  })
  const { output } = await build.generate({ format: 'iife', name: 'coffer' })
  await build.close()
  return output[0].code
}

/** As over a line that takes about two seconds for 64 MiB. */
async function* slowly(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const piece of pieces) {
    yield piece
    bytes += piece.length
    if (bytes < 3 * MiB) continue
    bytes = 0
    await setTimeout(100)
  }
}

/** Serves a page with the client, and the API below the same origin. */
async function startSite(server: TestServer) {
  const script = await bundle()
  const site = createServer((incoming, outgoing) => {
    const { method, url = '', headers } = incoming
    if (url === '/') {
      outgoing.setHeader('content-type', 'text/html; charset=utf-8')
      return outgoing.end('<!doctype html><title>Coffer</title><script src="/coffer.js"></script>')
    }
    if (url === '/coffer.js') {
      outgoing.setHeader('content-type', 'text/javascript; charset=utf-8')
      return outgoing.end(script)
    }
    const slow = url.startsWith('/slow/')
    const path = slow ? url.slice('/slow'.length) : url
    if (!path.startsWith('/v1/')) return outgoing.writeHead(404).end()
    const passed = request(new URL(path, server.url), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(outgoing)
    })
    passed.once('error', () => outgoing.destroy())
    outgoing.once('close', () => passed.destroy())
    return pipeline(slow ? slowly(incoming) : incoming, passed, () => {})
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  return {
    url: `http://127.0.0.1:${(site.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      site.close()
      site.closeAllConnections()
      await once(site, 'close')
    },
  }
}

describe.skipIf(!hasChromium && mayBeSkipped)('the client in a browser', () => {
  const stack = new AsyncDisposableStack()
  let server: TestServer
  let browser: Browser
  let page: Page
  const complaints: string[] = []

  beforeAll(async () => {
    server = stack.use(await startServer())
    const site = stack.use(await startSite(server))
    const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
    browser = await chromium.launch({ executablePath, args })
    stack.defer(() => browser.close())
    page = await browser.newPage()
    page.on('console', (message) => complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.goto(site.url)
    await page.evaluate((accessToken) => {
      const configuration = new coffer.Configuration({ host: '/v1', accessToken, maxRetries: 0 })
      const client = new coffer.ApiClient(configuration)
      globalThis.api = new coffer.FilesApi(client)
      globalThis.uploads = new coffer.UploadsApi(client)
    }, server.apiKey)
  })

  afterAll(() => stack.disposeAsync())

  it('uploads a File, and tells how far it is', async () => {
    const { file, told } = await page.evaluate(async (bytes) => {
      const told: [number, number | undefined][] = []
      const content = new File([new Uint8Array(bytes).fill(7)], 'größe "1".bin')
      const file = await api.createFile(content, 'user_data', {
        onProgress: (...progress) => told.push(progress),
      })
      return { file, told }
    }, 8 * MiB)
    expect(file).toMatchObject({ bytes: 8 * MiB, filename: 'größe "1".bin' })
    expect(told.at(-1)).toEqual([8 * MiB, 8 * MiB])
    const sent = told.map(([bytes]) => bytes)
    expect(sent).toEqual(sent.toSorted((a, b) => a - b))
    const answer = await server.fetch(`/v1/files/${file.id}/content`)
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(new Uint8Array(8 * MiB).fill(7))
  })

  it('uploads without telling how far it is', async () => {
    const file = await page.evaluate(() =>
      api.createFile(new File(['text'], 'a.txt'), 'user_data', { expiresAfterSeconds: 3600 }),
    )
    expect(file).toMatchObject({ bytes: 4, filename: 'a.txt', expires_at: file.created_at + 3600 })
  })

  it('uploads a File in parts, and goes on with it', async () => {
    const { file, kept, sent } = await page.evaluate(async (bytes) => {
      const content = new Uint8Array(bytes).map((_, index) => index >> 12)
      const large = new File([content], 'large.bin')
      const about = { partBytes: 2 ** 20, parallel: 2 }
      let resume: import('../src/index.ts').LargeUploadState | undefined
      const controller = new AbortController()
      const broken = coffer.uploadLargeFile(uploads, large, 'user_data', {
        ...about,
        signal: controller.signal,
        onState(state) {
          resume = state
          if (state.parts.filter((part) => part !== null).length === 3) controller.abort()
        },
      })
      await broken.catch(() => {})
      const kept = resume?.parts.filter((part) => part !== null).length
      const sent: number[] = []
      const file = await coffer.uploadLargeFile(uploads, large, 'user_data', {
        ...about,
        resume,
        onProgress: (bytes) => sent.push(bytes),
      })
      return { file, kept, sent }
    }, 8 * MiB)
    expect(kept).toBeGreaterThanOrEqual(3)
    expect(Math.min(...sent)).toBeGreaterThan(3 * MiB)
    expect(sent.at(-1)).toBe(8 * MiB)
    expect(file).toMatchObject({ bytes: 8 * MiB, filename: 'large.bin' })
    const answer = await server.fetch(`/v1/files/${file.id}/content`)
    const content = new Uint8Array(8 * MiB).map((_, index) => index >> 12)
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(content)
  })

  it('uploads bytes and a stream', async () => {
    const bytes = await page.evaluate(async () => {
      const given = await api.createFile(new Uint8Array(1000), 'user_data')
      const stream = new Blob(['of a stream']).stream()
      const streamed = await api.createFile(stream, 'user_data')
      return [given.bytes, streamed.bytes, await api.downloadFile(streamed.id)]
    })
    expect(bytes).toEqual([1000, 11, 'of a stream'])
  })

  it('lists, iterates, retrieves and deletes', async () => {
    const seen = await page.evaluate(async () => {
      for (const name of ['1', '2', '3']) await api.createFile(new File([name], name), 'assistants')
      const options = { purpose: 'assistants', limit: 2, order: 'asc' } as const
      const { data, has_more } = await api.listFiles(options)
      const names: string[] = []
      for await (const { id, filename } of api.iterateFiles(options)) {
        names.push(filename, (await api.retrieveFile(id)).filename)
        await api.deleteFile(id)
      }
      return { first: data.length, has_more, names, rest: (await api.listFiles(options)).data }
    })
    expect(seen).toEqual({
      first: 2,
      has_more: true,
      names: ['1', '1', '2', '2', '3', '3'],
      rest: [],
    })
  })

  it('downloads as text, as a stream, and a range', async () => {
    const { id } = await server.create('naïve 日本語 🙂')
    const seen = await page.evaluate(async (id) => {
      const stream = (await api.openFile(id)).stream()
      const part = await api.openFile(id, { range: { start: 0, end: 2 } })
      return {
        text: await api.downloadFile(id),
        streamed: await new Response(stream).text(),
        part: await part.text(),
        total: part.totalBytes,
      }
    }, id)
    const text = 'naïve 日本語 🙂'
    expect(seen).toEqual({ text, streamed: text, part: 'na', total: Buffer.byteLength(text) })
  })

  it('ends an upload with the reason of the signal', async () => {
    const left = server.logged('the client left before its request was whole')
    const seen = await page.evaluate(async (bytes) => {
      const controller = new AbortController()
      const reason = new Error('Enough.')
      const error = await api
        .createFile(new Blob([new Uint8Array(bytes)]), 'user_data', {
          signal: controller.signal,
          onProgress: () => controller.abort(reason),
        })
        .catch((error) => error)
      return error === reason
    }, 64 * MiB)
    expect(seen).toBe(true)
    await left
  })

  it('throws the class of what the server refuses', async () => {
    const seen = await page.evaluate(async () => {
      const missing = await api.retrieveFile('file-none').catch((error) => error)
      const wrong = await api.createFile(new Blob([]), 'nonsense').catch((error) => error)
      return [
        [missing instanceof coffer.NotFoundException, missing.status, missing.param],
        [wrong instanceof coffer.BadRequestException, wrong.status, wrong.param],
      ]
    })
    expect(seen).toEqual([
      [true, 404, 'id'],
      [true, 400, 'purpose'],
    ])
  })

  it('throws a ConnectionException where no server is', async () => {
    const isOne = await page.evaluate(async () => {
      const host = 'http://127.0.0.1:9/v1'
      const configuration = new coffer.Configuration({ host, maxRetries: 0 })
      const away = new coffer.FilesApi(new coffer.ApiClient(configuration))
      const errors = [
        await away.listFiles().catch((error) => error),
        await away.createFile(new Blob(['1']), 'user_data').catch((error) => error),
      ]
      return errors.map((error) => error instanceof coffer.ConnectionException)
    })
    expect(isOne).toEqual([true, true])
  })

  it('gives up an upload only when nothing moves', async () => {
    const seen = await page.evaluate(async (accessToken) => {
      const facts = { host: '/slow/v1', accessToken, maxRetries: 0, idleSeconds: 1 }
      const hasty = new coffer.FilesApi(new coffer.ApiClient(new coffer.Configuration(facts)))
      const begin = performance.now()
      const content = new Blob([new Uint8Array(64 * 1024 * 1024)])
      const { bytes } = await hasty.createFile(content, 'user_data')
      return { bytes, milliseconds: performance.now() - begin }
    }, server.apiKey)
    expect(seen.bytes).toBe(64 * MiB)
    expect(seen.milliseconds).toBeGreaterThan(1000)
  })

  it('asks for nothing that a browser refuses', () => {
    expect(complaints.filter((text) => text.includes('Refused'))).toEqual([])
  })
})
