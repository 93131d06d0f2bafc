import { File } from '@coffer/contract'
import { afterAll, describe, expect, it } from 'vitest'
import { readRefusal, refusal } from './answers.ts'
import { chunked, createHead, fieldPart, filePart, formBody } from './form-body.ts'
import { startServer } from './start-server.ts'

const server = await startServer()
afterAll(() => server[Symbol.asyncDispose]())

const key = `Authorization: Bearer ${server.apiKey}`
const multipart = 'Content-Type: multipart/form-data; boundary=cut-here'
const body = formBody('cut-here', [fieldPart('purpose', 'user_data'), filePart('content')])

function lines(...given: string[]): string {
  return [...given, '', ''].join('\r\n')
}

/** A whole upload that would be served if it were not for this header. */
function uploadWith(...headers: string[]): string {
  return createHead(server.apiKey, multipart, ...headers) + chunked(body).toString()
}

const coding = "The Transfer-Encoding of a request may only be 'chunked'."
const target = 'The target of the request is neither a path nor a URL with a path.'
const invalid = 'The request is not valid HTTP.'

const faults: [string, string, string][] = [
  [
    'two Host headers',
    lines('GET /v1/files HTTP/1.1', 'Host: a', 'Host: b', key),
    'The request has two Host headers.',
  ],
  [
    'the same Host twice',
    lines('GET /v1/files HTTP/1.1', 'Host: a', 'hOST: a', key),
    'The request has two Host headers.',
  ],
  [
    'two Host headers and a path that cannot be decoded',
    lines('GET /v1/%zz HTTP/1.1', 'Host: a', 'Host: b', key),
    'The request has two Host headers.',
  ],
  ['no Host', lines('GET /v1/files HTTP/1.1', key), 'The request has no Host header.'],
  [
    'a Host with a blank',
    lines('GET /v1/files HTTP/1.1', 'Host: a b', key),
    'The request has a malformed Host header.',
  ],
  ['the coding gzip, chunked', uploadWith('Transfer-Encoding: gzip, chunked'), coding],
  [
    'the coding in two headers',
    uploadWith('Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked'),
    coding,
  ],
  ['the coding chunked twice', uploadWith('Transfer-Encoding: chunked, chunked'), invalid],
  ['the coding identity', uploadWith('Transfer-Encoding: identity'), invalid],
  ['the coding xchunked', uploadWith('Transfer-Encoding: xchunked'), invalid],
  ['a length and a coding', uploadWith('Content-Length: 5\r\nTransfer-Encoding: chunked'), invalid],
  ['a coding and a length', uploadWith('Transfer-Encoding: chunked\r\nContent-Length: 5'), invalid],
  [
    'a coding in HTTP/1.0',
    uploadWith('Transfer-Encoding: chunked').replace('HTTP/1.1', 'HTTP/1.0'),
    coding,
  ],
  ['no version', 'GET /v1/files\r\n\r\n', invalid],
  ['no version but headers', lines('GET /v1/files', 'Host: a', key), invalid],
  ['HTTP/2.0', lines('GET /v1/files HTTP/2.0', 'Host: a', key), invalid],
  ['HTTP/1.2', lines('GET /v1/files HTTP/1.2', 'Host: a', key), invalid],
  ['a URL without a path', lines('GET http://a?/v1/files HTTP/1.1', 'Host: a', key), target],
  ['a URL with a user', lines('GET http://u@a/v1/files HTTP/1.1', 'Host: a', key), target],
  ['a URL of another scheme', lines('GET ftp://a/v1/files HTTP/1.1', 'Host: a', key), target],
  [
    'CONNECT',
    lines('CONNECT a:80 HTTP/1.1', 'Host: a', key),
    'The server is no proxy: it does not know CONNECT.',
  ],
]

describe('a request that a proxy may read in another way', () => {
  it.each(faults)(
    'is refused with %s, and what follows it is not served',
    async (_, text, message) => {
      const before = await server.stored()
      const connection = await server.connect()
      const smuggled = createHead(server.apiKey, multipart, 'Transfer-Encoding: chunked')
      connection.write(text + smuggled, chunked(body))
      const response = await connection.answer()
      expect(response.headers.get('connection')).toBe('close')
      expect(await readRefusal(response)).toEqual(refusal(400, message))
      expect(await connection.closed()).toEqual(Buffer.alloc(0))
      expect(await server.stored()).toEqual(before)
    },
  )

  it.each([
    ['0.9', 'GET /healthz\r\n\r\n'],
    ['2.0', lines('GET /healthz HTTP/2.0', 'Host: a')],
  ])('is refused in HTTP/%s although nothing follows it', async (version, text) => {
    const connection = await server.connect()
    connection.write(text)
    expect(await readRefusal(await connection.answer())).toEqual(
      refusal(400, `HTTP/${version} is not supported.`),
    )
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
  })

  it('is refused with an expectation that there is not', async () => {
    const connection = await server.connect()
    connection.write(createHead(server.apiKey, 'Expect: other', 'Content-Length: 7'))
    const response = await connection.answer()
    expect(await readRefusal(response)).toEqual(
      refusal(417, "The server cannot meet 'Expect: other'."),
    )
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
  })
})

describe('a CONNECT', () => {
  it('whose client resets the connection does no harm', async () => {
    for (let round = 0; round < 20; round += 1) {
      const connection = await server.connect()
      const asked = server.logged('a request asks for a tunnel')
      connection.write(lines('CONNECT a:80 HTTP/1.1', 'Host: a'))
      await asked
      connection.socket.resetAndDestroy()
      await connection.closed()
    }
    expect((await server.fetch('/healthz')).status).toBe(200)
  })

  it('whose client stays is closed, so that the server can stop', { timeout: 15_000 }, async () => {
    await using alone = await startServer({ settings: { COFFER_STOP_SECONDS: '600' } })
    const connection = await alone.connect()
    // Otherwise it answers the FIN of the server with its own.
    connection.socket.removeAllListeners('end')
    connection.write(lines('CONNECT a:80 HTTP/1.1', 'Host: a'))
    expect((await connection.answer()).status).toBe(400)
    await alone.stop()
  })
})

describe('a request that everyone reads in the same way', () => {
  it.each([
    ['in HTTP/1.0 without a Host', lines('GET /v1/files HTTP/1.0', key)],
    ['with an empty Host', lines('GET /v1/files HTTP/1.1', 'Host:', key)],
    ['with an address as Host', lines('GET /v1/files HTTP/1.1', 'Host: [::1]:80', key)],
    ['as a URL', lines('GET http://else.where/v1/files HTTP/1.1', 'Host: a', key)],
    [
      'that offers an upgrade',
      lines('GET /v1/files HTTP/1.1', 'Host: a', 'Connection: upgrade', 'Upgrade: h2c', key),
    ],
    ['with Chunked in other letters', uploadWith('Transfer-Encoding: Chunked')],
  ])('is served %s', async (_, text) => {
    const connection = await server.connect()
    connection.write(text)
    expect((await connection.answer()).status).toBe(200)
  })

  it('gets no 100 in HTTP/1.0, where it would be the answer', async () => {
    const connection = await server.connect()
    const head = createHead(server.apiKey, multipart, `Content-Length: ${body.length}`)
    const old = head.replace('HTTP/1.1', 'HTTP/1.0').slice(0, -2)
    connection.write(`${old}Expect: 100-continue\r\n\r\n`, body)
    expect((await connection.answer()).status).toBe(200)
  })

  it('says nothing more in its trailers', async () => {
    const connection = await server.connect()
    const head = createHead(
      'sk-nobody',
      multipart,
      'Transfer-Encoding: chunked',
      `Trailer: Authorization`,
    )
    const chunks = chunked(body).subarray(0, -2)
    connection.write(head, chunks, lines(key, 'Host: b'))
    expect((await connection.answer()).status).toBe(401)
    connection.write(createHead(server.apiKey, multipart, 'Transfer-Encoding: chunked'))
    connection.write(chunks, lines('Authorization: Bearer sk-nobody', 'Host: b'))
    const response = await connection.answer()
    expect(response.status).toBe(200)
    expect(File.parse(await response.json())).toMatchObject({ bytes: 7 })
  })
})

describe('a path', () => {
  it.each([
    '/v1/../v1/files',
    '/v1/./files',
    '//v1/files',
    '/v1//files',
    '/v1%2ffiles',
    '/v1%2Ffiles',
    '/docs/../v1/files',
    '/docs/%2e%2e/openapi.json',
    '/docs/static/..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/..%5c..%5cpackage.json',
    '/docs/static/../../../../../../etc/passwd',
    'http://a/v1/../v1/files',
    '/v1/files/x/../../files',
    '/v1/files;x=y',
    '/v1/files\\',
    '*',
  ])('is not made into another: %s finds nothing', async (path) => {
    const connection = await server.connect()
    connection.write(lines(`GET ${path} HTTP/1.1`, 'Host: a', key))
    // The plugin that serves the files of /docs has a 400 for such paths.
    expect((await connection.answer()).status).toBeOneOf([400, 404])
  })
})
