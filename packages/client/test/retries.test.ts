import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  ConflictException,
  ConnectionException,
  RateLimitException,
  ServiceException,
  TimeoutException,
} from '../src/index.ts'
import {
  type Act,
  beSilent,
  reset,
  type SeenRequest,
  someFile,
  startScript,
} from './scripted-server.ts'

const KiB = 1024

/** Refused, to be sent again at once. */
function refused(status: number, headers: Record<string, string> = {}): Act {
  return { status, headers: { 'retry-after-ms': '1', ...headers }, body: { error: {} } }
}

/** Milliseconds between the first two requests. */
function gapOf([first, second]: SeenRequest[]): number {
  return (second?.time ?? Number.NaN) - (first?.time ?? Number.NaN)
}

function expectBetween(value: number, least: number, most: number): void {
  expect(value).toBeGreaterThanOrEqual(least)
  expect(value).toBeLessThanOrEqual(most)
}

describe.concurrent('a request that failed in a way that may pass', () => {
  it.for([408, 409, 429, 500, 502, 503, 504])('is sent again after %i', async (status) => {
    await using server = await startScript(refused(status), { body: someFile })
    expect(await server.api().retrieveFile('file-1')).toEqual(someFile)
    expect(server.requests).toHaveLength(2)
  })

  it.for([400, 401, 403, 404, 413, 422])('is not sent again after %i', async (status) => {
    await using server = await startScript(refused(status))
    await expect(server.api().retrieveFile('file-1')).rejects.toMatchObject({ status })
    expect(server.requests).toHaveLength(1)
  })

  it('is sent three times in all, and then throws what the last answer said', async () => {
    const last = { status: 503, body: { error: { message: 'Still busy.' } } }
    await using server = await startScript(refused(503), refused(500), last)
    const found = server.api().retrieveFile('file-1')
    await expect(found).rejects.toThrow(ServiceException)
    await expect(found).rejects.toThrow('Still busy.')
    expect(server.requests).toHaveLength(3)
  })

  it('is sent as often as the configuration says', async () => {
    await using server = await startScript(...Array<Act>(6).fill(refused(500)))
    const found = server.api({ maxRetries: 4 }).retrieveFile('file-1')
    await expect(found).rejects.toThrow(ServiceException)
    expect(server.requests).toHaveLength(5)
  })

  it('is sent once with maxRetries 0', async () => {
    await using server = await startScript(refused(503))
    const found = server.api({ maxRetries: 0 }).retrieveFile('file-1')
    await expect(found).rejects.toThrow(ServiceException)
    expect(server.requests).toHaveLength(1)
  })

  it('is sent again with the whole of its body', async () => {
    await using server = await startScript(refused(503), reset, { body: someFile })
    const content = 'sent three times'.repeat(10 * KiB)
    await server.api().createFile(new Blob([content]), 'user_data')
    expect(server.requests).toHaveLength(3)
    for (const { body } of server.requests) expect(body.toString()).toContain(content)
  })

  it('is sent again after the connection was reset', async () => {
    await using server = await startScript(reset, { body: someFile })
    expect(await server.api().retrieveFile('file-1')).toEqual(someFile)
    expect(server.requests).toHaveLength(2)
  })

  it('throws a ConnectionException if the connection is reset each time', async () => {
    await using server = await startScript(reset, reset)
    const found = server.api({ maxRetries: 1 }).retrieveFile('file-1')
    await expect(found).rejects.toThrow(ConnectionException)
    await expect(found).rejects.toThrow(new URL(server.host).host)
    expect(server.requests).toHaveLength(2)
  })

  it('asks for an access token each time', async () => {
    await using server = await startScript(refused(503), { body: someFile })
    let asked = 0
    const api = server.api({
      async accessToken() {
        asked += 1
        return `sk-${asked}`
      },
    })
    await api.retrieveFile('file-1')
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer sk-1',
      'Bearer sk-2',
    ])
  })

  it('is not sent if there is no access token to be had', async () => {
    await using server = await startScript()
    const failure = new Error('The keyring is locked.')
    const api = server.api({ accessToken: () => Promise.reject(failure) })
    await expect(api.retrieveFile('file-1')).rejects.toBe(failure)
    expect(server.requests).toEqual([])
  })
})

describe.concurrent('what the server asks for', () => {
  it('x-should-retry: true has a request sent again that otherwise would not be', async () => {
    const first = refused(400, { 'x-should-retry': 'true' })
    await using server = await startScript(first, { body: someFile })
    expect(await server.api().retrieveFile('file-1')).toEqual(someFile)
  })

  it('x-should-retry: false keeps a request from being sent again', async () => {
    await using server = await startScript(refused(409, { 'x-should-retry': 'false' }))
    await expect(server.api().retrieveFile('file-1')).rejects.toThrow(ConflictException)
    expect(server.requests).toHaveLength(1)
  })

  it('Retry-After in seconds is waited for', async () => {
    const first = { status: 429, headers: { 'retry-after': '1' } }
    await using server = await startScript(first, { body: someFile })
    await server.api().retrieveFile('file-1')
    expectBetween(gapOf(server.requests), 990, 1500)
  })

  it('Retry-After as a date is waited for', async () => {
    const date = new Date(Math.ceil(Date.now() / 1000 + 1) * 1000)
    const first = { status: 429, headers: { 'retry-after': date.toUTCString() } }
    await using server = await startScript(first, { body: someFile })
    await server.api().retrieveFile('file-1')
    expect(Date.now()).toBeGreaterThanOrEqual(date.getTime() - 10)
  })

  it('a date that is over is not waited for', async () => {
    const headers = { 'retry-after': new Date(0).toUTCString() }
    await using server = await startScript({ status: 429, headers }, { body: someFile })
    await server.api().retrieveFile('file-1')
    expect(gapOf(server.requests)).toBeLessThan(300)
  })

  it('retry-after-ms comes before Retry-After', async () => {
    const headers = { 'retry-after-ms': '20.5', 'retry-after': '30' }
    await using server = await startScript({ status: 429, headers }, { body: someFile })
    await server.api().retrieveFile('file-1')
    expectBetween(gapOf(server.requests), 15, 300)
  })

  it('a wait of up to a minute is accepted, and one above is left to the caller', async () => {
    const headers = { 'retry-after': '61' }
    await using server = await startScript({ status: 429, headers })
    await expect(server.api().retrieveFile('file-1')).rejects.toThrow(RateLimitException)
    expect(server.requests).toHaveLength(1)
  })

  it('without a wish half a second is waited, less up to a quarter', async () => {
    await using server = await startScript({ status: 503 }, { body: someFile })
    await server.api().retrieveFile('file-1')
    expectBetween(gapOf(server.requests), 370, 800)
  })
})

describe.concurrent('content that can be read only once', () => {
  async function* pieces() {
    yield new TextEncoder().encode('only once')
  }

  it.for([
    ['a stream', () => new Blob(['only once']).stream()],
    ['an async iterable', pieces],
  ] as const)('%s is not sent again', async ([, content]) => {
    await using server = await startScript(refused(503))
    const created = server.api().createFile(content(), 'user_data')
    await expect(created).rejects.toThrow(ServiceException)
    expect(server.requests).toHaveLength(1)
  })

  it('is not sent again after the connection was reset', async () => {
    await using server = await startScript(reset)
    const created = server.api().createFile(pieces(), 'user_data')
    await expect(created).rejects.toThrow(ConnectionException)
    expect(server.requests).toHaveLength(1)
  })
})

describe.concurrent('content that fails while it is read', () => {
  it('throws its own error, and is not sent again', async () => {
    await using server = await startScript()
    const failure = new Error('The disk is gone.')
    let opened = 0
    const source = {
      name: 'disk.bin',
      bytes: undefined,
      isReplayable: true,
      async *open() {
        opened += 1
        yield new Uint8Array(10)
        throw failure
      },
    }
    await expect(server.api().createFile(source, 'user_data')).rejects.toBe(failure)
    expect(opened).toBe(1)
  })
})

describe.concurrent('idleSeconds', () => {
  const hasty = { idleSeconds: 0.2, maxRetries: 0 }

  it('gives up a request that is not answered', async () => {
    await using server = await startScript(beSilent)
    const found = server.api(hasty).retrieveFile('file-1')
    await expect(found).rejects.toThrow(TimeoutException)
    await expect(found).rejects.toThrow('Nothing came or went for 0.2 seconds.')
  })

  it('has a request sent again that was not answered', async () => {
    await using server = await startScript(beSilent, { body: someFile })
    const api = server.api({ idleSeconds: 0.2, maxRetries: 1 })
    expect(await api.retrieveFile('file-1')).toEqual(someFile)
  })

  it('gives up a download that stalls, and closes its connection', async () => {
    const left = Promise.withResolvers<void>()
    await using server = await startScript((response) => {
      response.once('close', left.resolve)
      response.writeHead(200, { 'content-length': '10' }).write('half ')
    })
    const content = await server.api(hasty).openFile('file-1')
    await expect(content.text()).rejects.toThrow(TimeoutException)
    await left.promise
  })

  it('bears with a download that is slow and moves', async () => {
    await using server = await startScript(async (response) => {
      for (let piece = 0; piece < 8; piece += 1) {
        await setTimeout(60)
        response.write('slow ')
      }
      response.end()
    })
    expect(await server.api(hasty).downloadFile('file-1')).toBe('slow '.repeat(8))
  })

  it('bears with an upload that is slow and moves', async () => {
    await using server = await startScript({ body: someFile })
    async function* pieces() {
      for (let piece = 0; piece < 8; piece += 1) {
        await setTimeout(60)
        yield new TextEncoder().encode('slow ')
      }
    }
    await server.api(hasty).createFile(pieces(), 'user_data')
    expect(server.requests[0]?.body.toString()).toContain('slow '.repeat(8))
  })

  it('gives up an upload whose content stalls', async () => {
    await using server = await startScript()
    async function* pieces() {
      yield new Uint8Array(10)
      await once(new EventTarget(), 'never')
    }
    const created = server.api(hasty).createFile(pieces(), 'user_data')
    await expect(created).rejects.toThrow(TimeoutException)
  })
})
