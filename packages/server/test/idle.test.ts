import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { File } from '@coffer/contract'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { chunked, createHead, fieldPart, filePart, formBody } from './form-body.ts'
import type { RawConnection } from './raw-connection.ts'
import { type Client, startServer } from './start-server.ts'
import { begunBytes } from './test-stores.ts'
import { until } from './until.ts'

const MiB = 1024 * 1024
const server = await startServer({ settings: { COFFER_IDLE_SECONDS: '1' } })
afterAll(() => server[Symbol.asyncDispose]())

const multipart = 'Content-Type: multipart/form-data; boundary=cut-here'
const purpose = fieldPart('purpose', 'user_data')
/** More than the buffers of a connection hold, so that a download waits for its reader. */
const endless = randomBytes(24 * MiB)
/** So much later than the limit that it counts as never, and as soon as a busy machine allows. */
const patience = { timeout: 10_000 }

/** Announces the whole body and sends the beginning of it. */
async function beginUpload(
  { apiKey }: Client,
  body: Uint8Array,
  bytes: number,
): Promise<RawConnection> {
  const connection = await server.connect()
  const head = createHead(apiKey, multipart, `Content-Length: ${body.length}`)
  connection.write(head, body.subarray(0, bytes))
  return connection
}

/** Asks for a content and reads no more than the head of the answer. */
async function beginDownload({ apiKey }: Client, id: string): Promise<RawConnection> {
  const connection = await server.connect()
  const lines = [`GET /v1/files/${id}/content HTTP/1.1`, 'Host: coffer', 'Connection: close']
  connection.write([...lines, `Authorization: Bearer ${apiKey}`, '', ''].join('\r\n'))
  expect(await connection.head()).toMatchObject({ status: 200 })
  connection.socket.pause()
  return connection
}

/** How often the bytes of a file are being read. */
async function timesRead(id: string): Promise<number> {
  const sql = 'select blob_id from segments where file_id = ?'
  const [row] = await server.query<{ blob_id: string }>(sql, id)
  if (row === undefined) throw new Error(`The file ${id} has no bytes.`)
  return server.stores.timesRead(row.blob_id)
}

describe.concurrent(
  'a connection on which nothing happens for COFFER_IDLE_SECONDS',
  patience,
  () => {
    it('is closed without a word if it never sent a byte', async () => {
      const begun = performance.now()
      const connection = await server.connect()
      expect(await connection.closed()).toEqual(Buffer.alloc(0))
      // Clocks of timers may be some milliseconds apart.
      expect(performance.now() - begun).toBeGreaterThan(950)
    })

    it('is closed in the middle of the head of a request', async () => {
      const connection = await server.connect()
      connection.write('GET /v1/files HTTP/1.1\r\nHost: cof')
      await connection.closed()
    })

    it('is closed between two requests', async () => {
      const connection = await server.connect()
      connection.write('GET /healthz HTTP/1.1\r\nHost: coffer\r\n\r\n')
      expect((await connection.answer()).status).toBe(200)
      expect(await connection.closed()).toEqual(Buffer.alloc(0))
    })

    it('is closed in a download that the client reads no further', async () => {
      const client = await server.addTenant()
      const { id } = await client.create(endless)
      const connection = await beginDownload(client, id)
      expect(await timesRead(id)).toBe(1)
      await expect.poll(() => timesRead(id), patience).toBe(0)
      connection.socket.resume()
      const received = await connection.closed()
      expect(received.length).toBeLessThan(endless.length)
      expect(received.equals(endless.subarray(0, received.length))).toBe(true)
    })
  },
)

describe.concurrent('an upload that stalls', patience, () => {
  const body = formBody('cut-here', [purpose, filePart('content')])

  it.each([
    ['before its body', 0],
    ['within its body', body.length / 2],
    ['before the last byte', body.length - 1],
  ])('%s is answered 408, and nothing is left of it', async (_, bytes) => {
    const client = await server.addTenant()
    const connection = await beginUpload(client, body, bytes)
    expect(await readRefusal(await connection.answer())).toEqual(
      refusal(408, 'No byte of the request came for too long.', { code: 'request_timeout' }),
    )
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    expect(await client.list()).toMatchObject({ data: [] })
    expect(await client.usedBytes()).toBe(0)
  })

  it('leaves no bytes in the stores', async () => {
    await using alone = await startServer({ settings: { COFFER_IDLE_SECONDS: '1' } })
    const before = await alone.stored()
    const connection = await alone.connect()
    connection.write(createHead(alone.apiKey, multipart, `Content-Length: ${9 * MiB}`))
    connection.write(formBody('cut-here', [purpose, filePart(new Uint8Array(3 * MiB))], '\r\n--'))
    await until(async () => (await alone.stored()).blobs.length > 0)
    expect((await connection.answer()).status).toBe(408)
    expect(await alone.stored()).toEqual(before)
    expect(alone.logs.filter((line) => Number(line['level']) > 30)).toEqual([])
  })
})

describe.concurrent('a head that takes longer than COFFER_IDLE_SECONDS', patience, () => {
  it('is answered 408 although its bytes keep coming', async () => {
    const connection = await server.connect()
    using _dripping = setInterval(() => connection.write('x'), 100)
    connection.write('GET /v1/files HTTP/1.1\r\nHost: coffer\r\nX-Slow: ')
    expect(await readRefusal(await connection.answer())).toEqual(
      refusal(408, 'The headers of the request did not come in time.', { code: 'request_timeout' }),
    )
    await connection.closed()
  })
})

describe.concurrent('a transfer that takes longer than COFFER_IDLE_SECONDS', patience, () => {
  /** Time is what these tests are about: all pauses last longer than the limit, one does not. */
  const pause = 400

  it('is served as an upload whose bytes keep coming', async () => {
    const client = await server.addTenant()
    const body = formBody('cut-here', [purpose, filePart('0123456789')])
    const connection = await beginUpload(client, body, 0)
    // Beyond the limit by so much that a check every second would have seen it.
    const piece = Math.ceil(body.length / 6)
    for (let sent = 0; sent < body.length; sent += piece) {
      await delay(pause)
      connection.write(body.subarray(sent, sent + piece))
    }
    const response = await connection.answer()
    expect(response.status).toBe(200)
    const { id } = File.parse(await response.json())
    const content = await client.fetch(`/v1/files/${id}/content`)
    expect(await content.text()).toBe('0123456789')
  })

  it('is served as a download that the client keeps reading', async () => {
    const client = await server.addTenant()
    const { id } = await client.create(endless)
    const { socket, closed } = await beginDownload(client, id)
    for (const part of [0.3, 0.6, 0.9]) {
      await delay(pause)
      socket.resume()
      while (socket.bytesRead < part * endless.length) await once(socket, 'data')
      socket.pause()
    }
    await delay(pause)
    socket.resume()
    expect((await closed()).equals(endless)).toBe(true)
  })
})

describe('an upload whose client leaves', () => {
  const content = 'The content of a file that will never be.'
  const body = formBody('cut-here', [purpose, filePart(content)])
  const file = body.indexOf(content)
  const closing = body.lastIndexOf('--cut-here--')

  const points = [
    { point: 'before the body', bytes: 0 },
    { point: 'at the first byte of the body', bytes: 1 },
    { point: 'in the headers of the file', bytes: file - 10 },
    { point: 'before the first byte of the file', bytes: file },
    { point: 'within the file', bytes: file + content.length / 2 },
    { point: 'before the last byte of the file', bytes: file + content.length - 1 },
    { point: 'after the last byte of the file', bytes: file + content.length },
    { point: 'within the closing boundary', bytes: closing + 10 },
    { point: 'before the end of the body', bytes: body.length - 1 },
  ]
  const ways = [
    { way: 'FIN', leave: ({ socket }: RawConnection) => socket.end() },
    { way: 'RST', leave: ({ socket }: RawConnection) => socket.resetAndDestroy() },
  ]
  const cases = ways.flatMap((way) => points.map((point) => ({ ...way, ...point })))

  /** Sends this much of a request, leaves, and checks that nothing came of it. */
  async function abandon(
    client: Client,
    { head, sent, leave }: { head: string; sent: Uint8Array } & Pick<(typeof ways)[0], 'leave'>,
  ): Promise<void> {
    const [stored, page] = [await server.stored(), await client.list()]
    const logged = server.logs.length
    const connection = await server.connect()
    const left = server.logged('the client left before its request was whole')
    connection.write(`${head}Expect: 100-continue\r\n\r\n`)
    expect(await connection.head()).toMatchObject({ status: 100 })
    connection.write(sent)
    leave(connection)
    const bytes = head.length + 'Expect: 100-continue\r\n\r\n'.length + sent.length
    expect(await left).toMatchObject({ level: 30, bytes })
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    expect(await server.stored()).toEqual(stored)
    expect(await client.list()).toEqual(page)
    expect(server.logs.slice(logged).filter((line) => Number(line['level']) > 30)).toEqual([])
  }

  function headOf({ apiKey }: Client, framing: string): string {
    return createHead(apiKey, multipart, framing).slice(0, -2)
  }

  it.each(cases)('$point, by $way, leaves nothing', async ({ bytes, leave }) => {
    const client = await server.addTenant()
    await client.create()
    const head = headOf(client, `Content-Length: ${body.length}`)
    await abandon(client, { head, sent: body.subarray(0, bytes), leave })
    expect(await client.usedBytes()).toBe(7)
  })

  it.each(ways)(
    'before the chunk that ends the body, by $way, leaves nothing',
    async ({ leave }) => {
      const client = await server.addTenant()
      const head = headOf(client, 'Transfer-Encoding: chunked')
      const sent = chunked(body, [7]).subarray(0, -'0\r\n\r\n'.length)
      await abandon(client, { head, sent, leave })
      expect(await client.usedBytes()).toBe(0)
    },
  )

  it.each(ways)('when megabytes are stored, by $way, leaves nothing', async ({ leave }) => {
    const client = await server.addTenant()
    const before = await server.stored()
    const large = formBody('cut-here', [purpose, filePart(endless)])
    const connection = await beginUpload(client, large, begunBytes + MiB)
    await until(async () => (await server.stored()).blobs.length > before.blobs.length)
    const left = server.logged('the client left before its request was whole')
    leave(connection)
    expect(await left).toMatchObject({ level: 30 })
    expect(await server.stored()).toEqual(before)
    expect(await client.usedBytes()).toBe(0)
  })
})
