import { randomBytes } from 'node:crypto'
import { File } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { createHead, fieldPart, filePart, formBody } from './form-body.ts'
import { makeStores } from './make-stores.ts'
import { openConnection, type RawConnection } from './raw-connection.ts'
import { startServer, type TestServer } from './start-server.ts'
import { begunBytes } from './test-stores.ts'
import { until } from './until.ts'

const MiB = 1024 * 1024
/** Not UTF-8. */
const content = randomBytes(begunBytes + 2 * MiB)
const body = formBody('cut-here', [fieldPart('purpose', 'user_data'), filePart(content)])
/** Before it is enough of the content for a store to have some. */
const cut = body.length - MiB
/** So many seconds that a test which waits for them fails. */
const never = { COFFER_STOP_SECONDS: '600' }

/** Sends most of an upload, and waits until the server has stored some of the file. */
async function beginUpload(server: TestServer): Promise<RawConnection> {
  const { looseBlobs } = await server.stored()
  const connection = await server.connect()
  const type = 'Content-Type: multipart/form-data; boundary=cut-here'
  connection.write(createHead(server.apiKey, type, `Content-Length: ${body.length}`))
  connection.write(body.subarray(0, cut))
  await until(async () => (await server.stored()).looseBlobs > looseBlobs)
  return connection
}

/** Asks for a content and reads no more than the head of the answer. */
async function beginDownload(server: TestServer, id: string): Promise<RawConnection> {
  const connection = await server.connect()
  const lines = [`GET /v1/files/${id}/content HTTP/1.1`, 'Host: coffer']
  connection.write([...lines, `Authorization: Bearer ${server.apiKey}`, '', ''].join('\r\n'))
  expect(await connection.head()).toMatchObject({ status: 200 })
  connection.socket.pause()
  return connection
}

/** Resolves once the server has begun to stop and refuses new connections. */
async function refusesConnections({ url }: TestServer): Promise<void> {
  const port = Number(new URL(url).port)
  await until(async () => {
    try {
      const { socket } = await openConnection(port)
      socket.destroy()
      return false
    } catch (error) {
      // What comes at the very moment in which the port is closed is reset.
      return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
    }
  })
}

function errorsOf({ logs }: TestServer) {
  return logs.filter((line) => Number(line['level']) > 30)
}

describe('a server that stops', { timeout: 20_000 }, () => {
  it('finishes an upload under way, whose file is there after the next start', async () => {
    await using stores = await makeStores()
    await using server = await startServer({ stores, settings: never })
    const connection = await beginUpload(server)
    const stopped = server.stop()
    await refusesConnections(server)
    connection.write(body.subarray(cut))
    const response = await connection.answer()
    expect(response.status).toBe(200)
    const { id } = File.parse(await response.json())
    await stopped

    await using again = await startServer({ stores })
    const read = await again.fetch(`/v1/files/${id}/content`)
    expect(Buffer.from(await read.arrayBuffer()).equals(content)).toBe(true)
    expect(await again.stored()).toMatchObject({
      files: 1,
      looseBlobs: 0,
      usedBytes: content.length,
    })
    expect(errorsOf(server)).toEqual([])
  })

  it('says with the answer that the connection goes, and closes it', async () => {
    await using server = await startServer({ settings: never })
    const connection = await beginUpload(server)
    const stopped = server.stop()
    await refusesConnections(server)
    connection.write(body.subarray(cut))
    const { headers } = await connection.answer()
    expect(headers.get('connection')).toBe('close')
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    await stopped
  })

  it('finishes a download under way', async () => {
    await using server = await startServer({ settings: never })
    const large = randomBytes(24 * MiB)
    const { id } = await server.create(large)
    const connection = await beginDownload(server, id)
    const stopped = server.stop()
    await refusesConnections(server)
    connection.socket.resume()
    expect((await connection.closed()).equals(large)).toBe(true)
    await stopped
  })

  it('waits for no connection that is not in a request', async () => {
    await using server = await startServer({ settings: never })
    const unused = await server.connect()
    const beginning = await server.connect()
    beginning.write('GET /v1/files HTTP/1.1\r\nHost: cof')
    const used = await server.connect()
    used.write('GET /healthz HTTP/1.1\r\nHost: coffer\r\n\r\n')
    // By its answer the server has come to the connections before it, too.
    expect((await used.answer()).status).toBe(200)
    await server.stop()
    for (const { closed } of [unused, beginning, used]) {
      expect(await closed()).toEqual(Buffer.alloc(0))
    }
  })

  it('waits for no connection whose body was refused before it was whole', async () => {
    await using server = await startServer({ settings: { ...never, COFFER_MAX_FILE_BYTES: '1' } })
    const refused = await server.upload(randomBytes(3 * MiB), { purpose: 'user_data' })
    expect(refused.status).toBe(413)
    await refused.text()
    await server.stop()
  })

  it('has let go of its stores', async () => {
    await using stores = await makeStores()
    for (let start = 0; start < 3; start += 1) {
      const server = await startServer({ stores })
      expect((await server.list()).data).toHaveLength(start)
      await server.create()
      await server.stop()
    }
  })

  it('has removed the bytes of what was deleted just before', async () => {
    await using server = await startServer()
    const { id } = await server.create(content)
    await server.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    await server.stop()
    expect(await server.stored()).toEqual({ blobs: [], files: 0, looseBlobs: 0, usedBytes: 0 })
  })

  it('may be asked to stop again', async () => {
    await using server = await startServer()
    await Promise.all([server.stop(), server.stop()])
    await server.stop()
  })
})

describe('a request that does not end', { timeout: 20_000 }, () => {
  it('is cut after COFFER_STOP_SECONDS, and nothing is left of an upload', async () => {
    await using server = await startServer({ settings: { COFFER_STOP_SECONDS: '1' } })
    await server.create('kept')
    const before = await server.stored()
    const connection = await beginUpload(server)
    const begun = performance.now()
    await server.stop()
    // Clocks of timers may be some milliseconds apart.
    expect(performance.now() - begun).toBeGreaterThan(950)
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    expect(await server.stored()).toEqual(before)
    expect(errorsOf(server)).toEqual([])
  })

  it('is cut after COFFER_STOP_SECONDS if it is a download that nobody reads', async () => {
    await using server = await startServer({ settings: { COFFER_STOP_SECONDS: '1' } })
    const large = randomBytes(24 * MiB)
    const { id } = await server.create(large)
    const connection = await beginDownload(server, id)
    await server.stop()
    connection.socket.resume()
    expect((await connection.closed()).length).toBeLessThan(large.length)
    expect(errorsOf(server)).toEqual([])
  })

  it('is cut at once if the stop comes to hurry', async () => {
    await using server = await startServer({ settings: never })
    const before = await server.stored()
    const connection = await beginUpload(server)
    const hurry = new AbortController()
    const stopped = server.stop(hurry.signal)
    await refusesConnections(server)
    hurry.abort()
    await stopped
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    expect(await server.stored()).toEqual(before)
    expect(errorsOf(server)).toEqual([])
  })

  it('is cut at once if the stop is in a hurry from the start', async () => {
    await using server = await startServer({ settings: never })
    const before = await server.stored()
    const connection = await beginUpload(server)
    await server.stop(AbortSignal.abort())
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    expect(await server.stored()).toEqual(before)
  })
})
