/** Requests that two readers may cut in two ways, each with another request hidden in it. */

export interface Smuggler {
  readonly name: string
  /** @param hidden a whole request that asks for something. */
  bytes(hidden: string): string
}

const start = 'POST /v1/files/open HTTP/1.1\r\nHost: a\r\n'
const end = '0\r\n\r\n'

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

/** Headers that say how long the body is, before a body in chunks that end before what is hidden. */
function framing(name: string, headers: string): Smuggler {
  return { name, bytes: (hidden) => `${start}${headers}\r\n\r\n${end}${hidden}` }
}

/** A body in chunks of which the first holds what is hidden. */
function inside(name: string, headers: string): Smuggler {
  return {
    name: `${name}, inside`,
    bytes: (hidden) => `${start}${headers}\r\n\r\n${chunk(hidden)}${end}`,
  }
}

/** How a chunk begins, before what is hidden. */
function sized(name: string, size: string): Smuggler {
  return {
    name,
    bytes: (hidden) => `${start}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${hidden}\r\n${end}`,
  }
}

function line(name: string, text: string): Smuggler {
  return { name, bytes: (hidden) => `${text}\r\n\r\n${hidden}` }
}

const codings = [
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding: chunked;x=y',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding : chunked',
  ' Transfer-Encoding: chunked',
  'X: y\r\n Transfer-Encoding: chunked',
  'Transfer-Encoding:\r\n chunked',
  'Transfer-Encoding: chunked\0',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
  'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked',
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
]
const lengths = [
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: 1000',
  'Content-Length: +5',
  'Content-Length: -5',
  'Content-Length: 0x5',
  'Content-Length: 5,5',
  'Content-Length: 5, 6',
  'Content-Length: 5\r\nContent-Length: 5',
  'Content-Length: 5\r\nContent-Length: 0',
  'Content-Length: 0\r\nContent-Length: 5',
  'Content-Length : 5',
  'Content-Length: 5 5',
  'Content-Length: 99999999999999999999',
  'Content-Length:',
  'Content-Length: 5\0',
]

export const smugglers: readonly Smuggler[] = [
  ...codings.flatMap((coding) => [
    framing(coding, coding),
    inside(coding, coding),
    framing(`${coding} and a length`, `${coding}\r\nContent-Length: 5`),
    framing(`a length and ${coding}`, `Content-Length: 5\r\n${coding}`),
    inside(`no length and ${coding}`, `Content-Length: 0\r\n${coding}`),
  ]),
  ...lengths.map((length) => framing(length, length)),
  ...[
    '0x5',
    '-5',
    '+5',
    '5 ',
    ' 5',
    '5;x',
    '5;x=\ny',
    '5\t',
    '',
    '0;',
    '00',
    '5,',
    'ffffffffffffffff',
    '10000000000000000',
    '10000000000000005',
    `5;${'x'.repeat(20_000)}`,
    '5\n',
    '5\r',
  ].map((size) => sized(`the chunk size ${JSON.stringify(size.slice(0, 20))}`, size)),
  {
    name: 'a chunk that ends with LF',
    bytes: (hidden) => `${start}Transfer-Encoding: chunked\r\n\r\n1\r\nx\n${end}${hidden}`,
  },
  {
    name: 'chunks that end with LF',
    bytes: (hidden) => `${start}Transfer-Encoding: chunked\r\n\r\n0\n\n${hidden}`,
  },
  {
    name: 'trailers',
    bytes: (hidden) =>
      `${start}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\nHost: b\r\n\r\n${hidden}`,
  },
  {
    name: 'chunks in HTTP/1.0',
    bytes: (hidden) =>
      `${start.replace('1.1', '1.0')}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${end}${hidden}`,
  },
  {
    name: 'a GET with a body',
    bytes: (hidden) =>
      `GET /v1/files/open HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
  },
  {
    name: 'a HEAD with a body',
    bytes: (hidden) =>
      `HEAD /v1/files/open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(hidden)}${end}`,
  },
  {
    name: 'an expectation and a body',
    bytes: (hidden) =>
      `${start}Expect: 100-continue\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
  },
  {
    name: 'another expectation and a body',
    bytes: (hidden) => `${start}Expect: other\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
  },
  line('two Host headers', 'GET /v1/files/open HTTP/1.1\r\nHost: a\r\nHost: b'),
  line('no Host', 'GET /v1/files/open HTTP/1.1'),
  line('a malformed Host', 'GET /v1/files/open HTTP/1.1\r\nHost: a b/c'),
  line('no version', 'GET /v1/files/open'),
  line('HTTP/0.9', 'GET /v1/files/open HTTP/0.9\r\nHost: a'),
  line('HTTP/2.0', 'GET /v1/files/open HTTP/2.0\r\nHost: a'),
  line('HTTP/1.2', 'GET /v1/files/open HTTP/1.2\r\nHost: a'),
  line('a method in small letters', 'get /v1/files/open HTTP/1.1\r\nHost: a'),
  line('a URL', 'GET http://b/v1/files/open HTTP/1.1\r\nHost: a'),
  line('a URL without a path', 'GET http://b?/v1/files/open HTTP/1.1\r\nHost: a'),
  line('dots', 'GET /v1/x/../files/open HTTP/1.1\r\nHost: a'),
  line('a slash in a segment', 'GET /v1%2ffiles%2fopen HTTP/1.1\r\nHost: a'),
  line('a line end in the path', 'GET /v1/files/open%0d%0aX:y HTTP/1.1\r\nHost: a'),
  line('a bare LF', 'GET /v1/files/open HTTP/1.1\nHost: a'),
  line('a bare CR', 'GET /v1/files/open HTTP/1.1\r\nHost: a\rX: y'),
  line('NUL', 'GET /v1/files/open HTTP/1.1\r\nHost: a\r\nX: \0'),
  line('a large header', `GET /v1/files/open HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}`),
  line(
    'an upgrade',
    'GET /v1/files/open HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c',
  ),
  line(
    'a named Connection',
    'GET /v1/files/open HTTP/1.1\r\nHost: a\r\nConnection: host, content-length',
  ),
  line('CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a'),
  line('TRACE', 'TRACE /v1/files/open HTTP/1.1\r\nHost: a'),
]
