/** The messages of PostgreSQL's protocol 3, as far as a proxy has to know them. */

export interface Message {
  /** One letter; empty for those before a session begins, which have none. */
  readonly type: string
  /** All of it, with its type and length. */
  readonly bytes: Buffer
}

export interface Framer {
  push(chunk: Buffer): void
  /** Whether the message has come with which a session begins. */
  hasBegun(): boolean
}

const protocol3 = 3 << 16

/** @param begin is called with what comes before a session, and with what begins it. */
export function createFramer(
  isClient: boolean,
  on: { begin?(message: Message, isStartup: boolean): void; message(message: Message): void },
): Framer {
  let rest = Buffer.alloc(0)
  let hasBegun = !isClient

  return {
    hasBegun: () => hasBegun,
    push(chunk) {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        const typeBytes = hasBegun ? 1 : 0
        if (rest.length < typeBytes + 4) return
        const size = typeBytes + rest.readUInt32BE(typeBytes)
        if (rest.length < size) return
        const bytes = rest.subarray(0, size)
        rest = rest.subarray(size)
        const type = bytes.toString('latin1', 0, typeBytes)
        if (hasBegun) {
          on.message({ type, bytes })
        } else {
          hasBegun = bytes.readUInt32BE(4) >>> 16 === protocol3 >>> 16
          on.begin?.({ type, bytes }, hasBegun)
        }
      }
    },
  }
}

/** @param statements is told those that are prepared, by their names, for later messages. */
export function readStatement(messages: Message[], statements: Map<string, string>): string {
  const parsed: string[] = []
  const words: string[] = []
  for (const { type, bytes } of messages) {
    const [first = '', second = ''] = bytes.toString('utf8', 5).split('\0', 2)
    if (type === 'Q') words.push(first)
    if (type === 'P') {
      statements.set(first, second)
      parsed.push(second)
    }
    if (type === 'B') words.push(statements.get(second) ?? '')
  }
  return (words.length > 0 ? words : parsed).join('; ')
}

/** A query that fails with an error, and ends the transaction where a failing commit would. */
export function failingQuery(words: string, sqlState: string): Buffer {
  const raise = `do $$begin raise exception using errcode = '${sqlState}', message = 'a fault'; end$$`
  const isEnd = /^\s*(commit|end)\b/i.test(words)
  return messageOf('Q', `${isEnd ? 'rollback; ' : ''}${raise}\0`)
}

/** With which a server ends a session. */
export function fatalError(sqlState: string): Buffer {
  return messageOf('E', `SFATAL\0VFATAL\0C${sqlState}\0Ma fault\0\0`)
}

function messageOf(type: string, text: string): Buffer {
  const content = Buffer.from(text)
  const head = Buffer.alloc(5, type)
  head.writeUInt32BE(4 + content.length, 1)
  return Buffer.concat([head, content])
}
