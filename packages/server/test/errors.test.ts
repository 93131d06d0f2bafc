import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { failure, readRefusal, refusal } from './answers.ts'
import { fieldPart, filePart, formBody } from './form-body.ts'
import { startServer, type TestServer } from './start-server.ts'

const server = await startServer()
afterAll(() => server[Symbol.asyncDispose]())

const missing =
  "You didn't provide an API key. You need to provide your API key in an Authorization header " +
  'using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank ' +
  "username) if you're accessing the API from your browser and are prompted for a username and " +
  'password.'

function basic(credentials: string): string {
  return `Basic ${Buffer.from(credentials).toString('base64')}`
}

/** Sends a whole request as it is written, with these headers besides Host. */
async function ask(line: string, ...headers: string[]): Promise<Response> {
  const connection = await server.connect()
  connection.write([`${line} HTTP/1.1`, 'Host: coffer', ...headers, '', ''].join('\r\n'))
  return connection.answer()
}

describe('a request without a valid API key', () => {
  it.each([
    ['no Authorization', []],
    ['an empty Authorization', ['Authorization: ']],
    ['Bearer and nothing else', ['Authorization: Bearer']],
    ['an empty password', [`Authorization: ${basic('user:')}`]],
    ['a user name only', [`Authorization: ${basic('user')}`]],
    ['Basic that is no Base64', ['Authorization: Basic ***']],
    ['another scheme', ['Authorization: Digest username="x"']],
    ['the key alone', [`Authorization: ${server.apiKey}`]],
    ['the key in a header of another vendor', [`api-key: ${server.apiKey}`]],
  ])('is refused with %s', async (_, headers) => {
    const response = await ask('GET /v1/files', ...headers)
    expect(await readRefusal(response)).toEqual(refusal(401, missing))
  })

  it.each([
    ['sk-wrong-0123456789', `sk-wrong${'*'.repeat(7)}6789`],
    [`${server.apiKey}x`, `sk-test-${'*'.repeat(13)}defx`],
    [`sk-${'x'.repeat(100)}tail`, `sk-xxxxx${'*'.repeat(32)}tail`],
    ['short', '*****'],
    ['fifteen letters', '*'.repeat(15)],
  ])('is refused with the key %s, which is shown masked', async (key, masked) => {
    for (const authorization of [`Bearer ${key}`, basic(`:${key}`)]) {
      const response = await server.fetch('/v1/files', { headers: { authorization } })
      expect(await readRefusal(response)).toEqual(
        refusal(401, `Incorrect API key provided: ${masked}.`, { code: 'invalid_api_key' }),
      )
    }
  })

  it('is refused with a key of the wrong case', async () => {
    const headers = { authorization: `Bearer ${server.apiKey.toUpperCase()}` }
    const response = await server.fetch('/v1/files', { headers })
    expect(await readRefusal(response)).toMatchObject({ status: 401, code: 'invalid_api_key' })
  })

  it('is refused no slower for many blanks in its header', async () => {
    async function shortestTime(authorization: string): Promise<number> {
      let shortest = Number.POSITIVE_INFINITY
      for (let round = 0; round < 5; round += 1) {
        const begun = performance.now()
        expect((await ask('GET /v1/files', `Authorization: ${authorization}`)).status).toBe(401)
        shortest = Math.min(shortest, performance.now() - begun)
      }
      return shortest
    }
    const letters = await shortestTime(`Bearer a${'b'.repeat(12_000)}a`)
    const blanks = await shortestTime(`Bearer a${' '.repeat(12_000)}a`)
    expect(blanks).toBeLessThan(20 * letters)
  })
})

describe('a request with a valid API key', () => {
  it.each([
    ['Bearer', `Bearer ${server.apiKey}`],
    ['Bearer in other letters', `bEARER ${server.apiKey}`],
    ['Bearer and more blanks', `Bearer   ${server.apiKey}  `],
    ['Basic with a user name', basic(`user:${server.apiKey}`)],
    ['Basic without a user name', basic(`:${server.apiKey}`)],
  ])('is served as %s', async (_, authorization) => {
    const response = await ask('GET /v1/files', `Authorization: ${authorization}`)
    expect(response.status).toBe(200)
  })

  it('is served with a key that has blanks and colons', async () => {
    const key = 'My API Key: the 2nd'
    await using spaced = await startServer({ settings: { COFFER_API_KEY: key } })
    for (const authorization of [`Bearer ${key}`, basic(`:${key}`)]) {
      const response = await spaced.fetch('/v1/files', { headers: { authorization } })
      expect(response.status).toBe(200)
    }
  })

  it('is served if it names its own organization and project, or names them empty', async () => {
    const client = await server.addTenant()
    for (const [organization, project] of [
      [client.organization_id, client.project_id],
      ['', ''],
    ] as const) {
      const headers = { 'openai-organization': organization, 'openai-project': project }
      expect((await client.fetch('/v1/files', { headers })).status).toBe(200)
    }
  })

  it('is refused if it names another organization', async () => {
    const client = await server.addTenant()
    const headers = { 'openai-organization': server.organization_id }
    expect(await readRefusal(await client.fetch('/v1/files', { headers }))).toEqual(
      refusal(401, 'OpenAI-Organization header should match organization for API key', {
        code: 'mismatched_organization',
      }),
    )
  })

  it('is refused if it names another project', async () => {
    const client = await server.addTenant()
    const headers = { 'openai-project': server.project_id }
    expect(await readRefusal(await client.fetch('/v1/files', { headers }))).toEqual(
      refusal(401, 'OpenAI-Project header should match project for API key', {
        code: 'mismatched_project',
      }),
    )
  })
})

describe('an API key', () => {
  it('is in no log and no answer, whatever became of its request', async () => {
    const secret = 'sk-secret-0123456789-abcdefghij-0123456789'
    await using careful = await startServer({ settings: { COFFER_API_KEY: secret } })
    const wrong = `${secret}-but-wrong`
    let answers = ''
    for (const key of [secret, wrong]) {
      for (const authorization of [`Bearer ${key}`, basic(`:${key}`)]) {
        for (const path of ['/v1/files', '/v1/files/none', '/v1/none', '/v1/%zz', '/docs/json']) {
          const response = await careful.fetch(path, { headers: { authorization } })
          answers += JSON.stringify([...response.headers]) + (await response.text())
        }
        for (const fault of ['X\0: y', 'X', `X: ${'x'.repeat(20_000)}`]) {
          const connection = await careful.connect()
          const refused = careful.logged('a request is not valid HTTP')
          connection.write(`GET / HTTP/1.1\r\nAuthorization: ${authorization}\r\n${fault}\r\n\r\n`)
          answers += await (await connection.answer()).text()
          await refused
        }
      }
    }
    await careful.stop()
    const seen = JSON.stringify(careful.logs) + answers
    for (const key of [secret, wrong]) {
      expect(seen).not.toContain(key)
      expect(seen).not.toContain(basic(`:${key}`))
      expect(seen).not.toContain([...Buffer.from(key)].join(','))
    }
  })
})

describe('an id that is no file', () => {
  const id = 'file-abc123'
  it.each([
    ['GET', `/v1/files/${id}`],
    ['DELETE', `/v1/files/${id}`],
    ['GET', `/v1/files/${id}/content`],
  ])('is refused by %s %s', async (method, path) => {
    expect(await readRefusal(await server.fetch(path, { method }))).toEqual(
      refusal(404, `No such File object: ${id}`, { param: 'id' }),
    )
  })

  it.each([
    ['of other letters', 'né 中', 'né 中'],
    ['of markup', '<script>"', '<script>"'],
    ['with a slash in it', 'a/b', 'a/b'],
    ['of dots', '%2e%2e', '%2e%2e'],
    ['that is empty', '', ''],
    ['that is very long', 'x'.repeat(15_000), 'x'.repeat(15_000)],
    ['with a NUL, as no database stores it', 'file-\0', 'file-\0'],
    ['that SQL reads', "' or 1=1 --", "' or 1=1 --"],
  ])('is refused %s', async (_, id_, named) => {
    const response = await server.fetch(`/v1/files/${encodeURIComponent(id_)}`)
    expect(await readRefusal(response)).toEqual(
      refusal(404, `No such File object: ${named}`, { param: 'id' }),
    )
  })
})

describe('a URL that is no route', () => {
  it.each([
    ['GET', '/'],
    ['GET', '/v1'],
    ['GET', '/v1/models'],
    ['GET', '/_stainless_unknown_path'],
    ['POST', '/v1/files/file-abc123/content/more'],
    ['GET', '/V1/files'],
    ['DELETE', '/v2/files'],
  ])('is refused as %s %s', async (method, path) => {
    const response = await server.fetch(`${path}?key=value`, { method })
    expect(await readRefusal(response)).toEqual(refusal(404, `Invalid URL (${method} ${path})`))
  })

  it.each(['/v1/files/%zz', '/%', '/v1/files/%ff/content'])('is refused as %s', async (path) => {
    const response = await ask(`GET ${path}`, `Authorization: Bearer ${server.apiKey}`)
    expect(await readRefusal(response)).toEqual(
      refusal(400, `'${path}' is not a valid url component`),
    )
  })
})

describe('a method that a route does not have', () => {
  const routes = [
    {
      path: '/v1/files',
      allow: 'GET, HEAD, POST',
      others: ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY'],
    },
    {
      path: '/v1/files/file-abc123',
      allow: 'GET, HEAD, DELETE',
      others: ['POST', 'PUT', 'PATCH', 'OPTIONS'],
    },
    {
      path: '/v1/files/file-abc123/content',
      allow: 'GET, HEAD',
      others: ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    },
    { path: '/healthz', allow: 'GET, HEAD', others: ['POST', 'DELETE', 'PROPFIND', 'LOCK'] },
  ]

  it.each(routes)('is refused on $path', async ({ path, allow, others }) => {
    for (const method of others) {
      const response = await server.fetch(path, { method })
      expect(response.headers.get('allow')).toBe(allow)
      const hint = '(HINT: Perhaps you meant to use a different HTTP method?)'
      expect(await readRefusal(response)).toEqual(
        refusal(405, `Not allowed to ${method} on ${path}. ${hint}`),
      )
    }
  })
})

describe('bytes that are no HTTP request', () => {
  async function answerTo(...pieces: string[]): Promise<Response> {
    const connection = await server.connect()
    connection.write(...pieces)
    const response = await connection.answer()
    expect(response.headers.get('connection')).toBe('close')
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
    return response
  }

  const start = 'POST /v1/files HTTP/1.1\r\nHost: coffer\r\n'
  it.each([
    ['nonsense', 'nonsense\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['two lengths', `${start}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
    ['a length and chunks', `${start}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['a blank before a colon', `${start}X : y\r\n\r\n`],
  ])('are refused as %s', async (_, text) => {
    expect(await readRefusal(await answerTo(text))).toEqual(
      refusal(400, 'The request is not valid HTTP.'),
    )
  })

  it.each([
    ['header', `GET /v1/files HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
    ['URL', `GET /v1/files/${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`],
  ])('are refused as too large a %s', async (_, text) => {
    expect(await readRefusal(await answerTo(text))).toEqual(
      refusal(431, 'The headers of the request are too large.'),
    )
  })

  it('are refused as a chunk, and nothing is left of the upload', async () => {
    const before = await server.stored()
    const type = 'Content-Type: multipart/form-data; boundary=cut-here'
    const begin = formBody('cut-here', [fieldPart('purpose', 'user_data'), filePart()], '')
    const ended = server.logged('the client left before its request was whole')
    const response = await answerTo(
      `${start}Authorization: Bearer ${server.apiKey}\r\n${type}\r\n`,
      `Transfer-Encoding: chunked\r\n\r\n${begin.length.toString(16)}\r\n`,
      `${begin}\r\nnonsense\r\n`,
    )
    expect(response.status).toBe(400)
    await ended
    expect(await server.stored()).toEqual(before)
  })

  it('get no second answer behind the refusal of a body', async () => {
    const connection = await server.connect()
    connection.write(`${start}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n`)
    expect((await connection.answer()).status).toBe(401)
    connection.write('nonsense\r\n')
    expect(await connection.closed()).toEqual(Buffer.alloc(0))
  })
})

describe('any request at all', () => {
  it('is answered as promised', async () => {
    const text = fc.string({ unit: fc.constantFrom(..."/.?#%&=;:'*0aZ~-é\t"), maxLength: 12 })
    const request = fc.record({
      method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND'),
      path: fc
        .tuple(fc.constantFrom('/', '/v1/', '/v1/files', '/v1/files/x/content', '/docs'), text)
        .map(([base, rest]) => base + rest.replace(/[\té]/g, encodeURIComponent)),
      header: fc.constantFrom('Accept', 'Range', 'If-None-Match', 'Content-Type', 'OpenAI-Project'),
      value: text,
      body: fc.constantFrom('', 'x'),
    })
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, header, value, body }) => {
        const connection = await server.connect()
        const headers = [
          'Host: coffer',
          `Authorization: Bearer ${server.apiKey}`,
          `${header}: ${value}`,
          ...(body === '' ? [] : [`Content-Length: ${body.length}`]),
        ]
        connection.write([`${method} ${path} HTTP/1.1`, ...headers, '', body].join('\r\n'))
        const { status, headers: answered } =
          method === 'HEAD' ? await connection.head() : await connection.answer()
        connection.socket.destroy()
        expect(status).toBeOneOf([200, 302, 400, 401, 404, 405, 415])
        expect(answered.get('x-request-id')).toMatch(/^req_/)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a failure of the server itself', () => {
  const hidden = failure(
    500,
    'The server had an error while processing your request. Sorry about that!',
  )
  const unavailable = failure(
    503,
    'The server cannot reach its storage now. Please try again later.',
  )

  /** Checks that an answer tells nothing of the inside, and gives it. */
  async function readDiscreetly(broken: TestServer, response: Response) {
    const text = (await response.clone().text()) + JSON.stringify([...response.headers])
    const places = Object.values(broken.stores.settings)
    for (const inside of [...places, 'ENOENT', 'SQLITE', 'node:', '.ts', ' at ', 'files_']) {
      expect(text).not.toContain(inside)
    }
    return readRefusal(response)
  }

  it('is answered without a word of the inside when the blobs are gone', async () => {
    await using broken = await startServer()
    const { id } = await broken.create('content'.repeat(10_000))
    await broken.stores.loseBlobs()
    const upload = await broken.upload('content', { purpose: 'user_data' })
    expect(await readDiscreetly(broken, upload)).toEqual(unavailable)
    const content = await broken.fetch(`/v1/files/${id}/content`)
    expect(await readDiscreetly(broken, content)).toEqual(unavailable)
    // All bytes are out of reach, which says nothing against this file.
    expect((await broken.list()).data).toMatchObject([{ id, status: 'processed' }])
    const ready = await broken.fetch('/readyz')
    expect(await readDiscreetly(broken, ready)).toEqual(
      failure(503, 'The storage does not answer.'),
    )
  })

  it('lets all work that needs no blobs', async () => {
    await using broken = await startServer()
    const file = await broken.create('content')
    await broken.stores.loseBlobs()
    expect((await broken.fetch('/healthz')).status).toBe(200)
    expect((await broken.list()).data).toEqual([file])
    expect((await broken.fetch(`/v1/files/${file.id}`)).status).toBe(200)
    expect((await broken.fetch(`/v1/files/${file.id}`, { method: 'DELETE' })).status).toBe(200)
    expect(await broken.usedBytes()).toBe(0)
  })

  it('is answered without a word of the inside when a table is gone, and logged', async () => {
    await using broken = await startServer()
    const { id } = await broken.create('content')
    const blobs = await broken.stores.listBlobs()
    await broken.query('alter table files rename to gone')
    for (const [method, path] of [
      ['GET', '/v1/files'],
      ['GET', `/v1/files/${id}`],
      ['GET', `/v1/files/${id}/content`],
      ['DELETE', `/v1/files/${id}`],
    ] as const) {
      const logged = broken.logged('a request failed')
      const response = await broken.fetch(path, { method })
      expect(await logged).toMatchObject({
        level: 50,
        reqId: response.headers.get('x-request-id'),
        err: { stack: expect.stringContaining('files') },
      })
      expect(await readDiscreetly(broken, response)).toEqual(hidden)
    }
    const upload = await broken.upload('content', { purpose: 'user_data' })
    expect(await readDiscreetly(broken, upload)).toEqual(hidden)
    expect(await broken.stores.listBlobs()).toEqual(blobs)
  })
})
