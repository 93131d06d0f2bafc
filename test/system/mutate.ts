/** Changes bytes at random, with a dictionary of what parsers stumble over; the same for a seed. */

const dictionary = [
  ...[
    '\r\n',
    '\r',
    '\n',
    '\r\n\r\n',
    '\n\n',
    '\0',
    ' ',
    '\t',
    '"',
    '\\',
    '\\"',
    "'",
    ';',
    ':',
    '=',
  ],
  ...[
    '--',
    '--cut',
    '\r\n--cut',
    '\r\n--cut\r\n',
    '\r\n--cut--',
    '--cut--\r\n',
    'boundary=',
    'boundary="',
  ],
  ...[
    'filename=',
    'filename*=',
    "filename*=UTF-8''%",
    "filename*=utf-8'en'%e2%82%ac",
    '%00',
    '%0d%0a',
  ],
  ...[
    'name="file"',
    'name="purpose"',
    'user_data',
    'batch',
    'expires_after',
    '[seconds]',
    '{"anchor":',
  ],
  ...['Content-Length: ', 'Content-Length: 0\r\n', 'Content-Length: 99999999999999999999\r\n'],
  ...[
    'Transfer-Encoding: chunked\r\n',
    'Transfer-Encoding: gzip, chunked\r\n',
    '0\r\n\r\n',
    'ffffffff\r\n',
  ],
  ...['Content-Type: multipart/form-data; boundary=cut\r\n', 'Content-Disposition: form-data; '],
  ...['Content-Transfer-Encoding: base64\r\n', 'Expect: 100-continue\r\n', 'Expect: x\r\n'],
  ...[
    'Host: x\r\n',
    'Connection: close\r\n',
    'Connection: upgrade\r\nUpgrade: h2c\r\n',
    'Range: bytes=0-',
  ],
  ...[
    'If-None-Match: *\r\n',
    'Authorization: Basic ',
    'OpenAI-Project: x\r\n',
    'HTTP/1.0',
    'HTTP/1.1',
    'HTTP/9.9',
  ],
  ...[
    'GET ',
    'HEAD ',
    'POST ',
    'DELETE ',
    'PUT ',
    'OPTIONS * ',
    'CONNECT a:80 ',
    'CONNECT ',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ],
  ...[
    '?limit=',
    '?limit=99999999999999999999',
    '&order=asc',
    '&after=',
    '%zz',
    '%2f',
    '..',
    '/',
    '//',
  ],
  ...[
    '/v1/files',
    '/content',
    '\xc3\xa9',
    '\xff',
    '\xf0\x9f\x92\xbe',
    '\xed\xa0\x80',
    '\xef\xbb\xbf',
    '-1',
    '2147483648',
    '1e309',
  ],
].map((text) => Buffer.from(text, 'latin1'))

/** Numbers from 0 to 1, the same again for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** @param others whose pieces may come in, too. */
export function mutate(original: Buffer, others: readonly Buffer[], random: () => number): Buffer {
  let bytes = Buffer.from(original)
  const below = (count: number) => Math.floor(random() * count)
  const put = (at: number, removed: number, piece: Uint8Array) => {
    bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + removed)])
  }
  const pick = <Item>(items: readonly Item[]): Item => {
    const item = items[below(items.length)]
    if (item === undefined) throw new Error('There is nothing to pick from.')
    return item
  }
  const changes = [
    () => bytes.writeUInt8(below(256), below(bytes.length)),
    () => {
      const at = below(bytes.length)
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << below(8)), at)
    },
    () => put(below(bytes.length + 1), 0, pick(dictionary)),
    () => {
      const word = pick(dictionary)
      put(below(bytes.length), word.length, word)
    },
    // A word in place of one that is there, so that the rest still makes sense.
    () => {
      const word = pick(dictionary)
      const at = bytes.indexOf(word, below(bytes.length))
      if (at !== -1) put(at, word.length, pick(dictionary))
    },
    () => put(below(bytes.length), below(20), Buffer.alloc(0)),
    () => {
      const at = below(bytes.length)
      const piece = Buffer.from(bytes.subarray(at, at + 1 + below(60)))
      put(below(bytes.length), 0, piece)
    },
    () => {
      bytes = bytes.subarray(0, below(bytes.length))
    },
    () => {
      const other = pick(others)
      bytes = Buffer.concat([
        bytes.subarray(0, below(bytes.length)),
        other.subarray(below(other.length)),
      ])
    },
    () => put(below(bytes.length), 0, Buffer.alloc(1 + below(300), pick(dictionary))),
  ]
  // One change is what most parsers get wrong, and what leaves a request that gets far.
  const count = 1 + Math.floor(random() ** 3 * 5)
  for (let change = 0; change < count && bytes.length > 0; change += 1) pick(changes)()
  return bytes
}

/** Like `mutate`, but leaves the head of the request as it is, if it has a body. */
export function mutateBody(
  original: Buffer,
  others: readonly Buffer[],
  random: () => number,
): Buffer {
  const end = original.indexOf('\r\n\r\n') + 4
  if (end === 3 || end === original.length) return mutate(original, others, random)
  const body = mutate(original.subarray(end), others, random)
  return Buffer.concat([original.subarray(0, end), body])
}

/** The request with a Content-Length that is right again, if it has a head and a length. */
export function repairLength(request: Buffer): Buffer {
  const text = request.toString('latin1')
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return request
  const length = text.length - end - 4
  const head = text.slice(0, end).replace(/Content-Length: \d+/, `Content-Length: ${length}`)
  return Buffer.from(head + text.slice(end), 'latin1')
}
