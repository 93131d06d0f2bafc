/** A connection on which a test writes and reads bytes itself. */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { checkAnswer } from './answers.ts'

export interface RawConnection {
  readonly socket: Socket
  /** Strings are written as UTF-8. */
  write(...pieces: (string | Uint8Array)[]): void
  /** The next answer without its body, be it a final one or `100 Continue`. */
  head(): Promise<AnswerHead>
  /** The next answer with its body, checked for what always holds. */
  answer(): Promise<Response>
  /** Resolves with what came and was not read yet, once the connection is closed. */
  closed(): Promise<Buffer>
}

export interface AnswerHead {
  readonly status: number
  readonly headers: Headers
}

export async function openConnection(port: number): Promise<RawConnection> {
  // As a program does that half-closes: it goes on reading after its FIN.
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  await once(socket, 'connect')
  let held: Buffer[] = []
  let heldBytes = 0
  let wake = () => {}

  socket.on('data', (bytes: Buffer) => {
    held.push(bytes)
    heldBytes += bytes.length
    wake()
  })
  // The peer's FIN, after which it sends no more.
  socket.once('end', () => socket.end())
  // A reset shows as the end of what can be read.
  socket.on('error', () => {})
  socket.once('close', () => wake())

  function all(): Buffer {
    const whole = Buffer.concat(held)
    held = [whole]
    return whole
  }

  function take(bytes: number): Buffer {
    const whole = all()
    held = [whole.subarray(bytes)]
    heldBytes -= bytes
    return whole.subarray(0, bytes)
  }

  async function more(): Promise<void> {
    if (socket.closed) throw new Error(`The connection was closed after: ${all().toString()}`)
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }

  async function head(): Promise<AnswerHead> {
    for (;;) {
      const end = all().indexOf('\r\n\r\n')
      if (end !== -1) return readHead(take(end + 4).toString('latin1'))
      await more()
    }
  }

  return {
    socket,
    head,
    write(...pieces) {
      for (const piece of pieces) socket.write(piece)
    },
    async answer() {
      const { status, headers } = await head()
      const length = Number(headers.get('content-length') ?? 0)
      while (heldBytes < length) await more()
      const body = new Uint8Array(take(length))
      const response = new Response(status === 304 ? null : body, { status, headers })
      await checkAnswer(response)
      return response
    },
    async closed() {
      if (!socket.closed) await once(socket, 'close')
      return all()
    },
  }
}

function readHead(text: string): AnswerHead {
  const [statusLine = '', ...lines] = text.trimEnd().split('\r\n')
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return { status: Number(statusLine.split(' ')[1]), headers }
}
