/**
 * A program that asks a server as fast as it answers, on so many connections that are kept: written
 * on sockets, so that it takes less than the server. Reads a `Load` as JSON from standard input and
 * prints a `LoadResult`.
 */

import { randomFillSync } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

export interface Load {
  readonly port: number
  readonly connections: number
  /** One request of each; `{n}` in it becomes the number of the request. */
  readonly heads: readonly string[]
  /** How often all heads are gone through. */
  readonly rounds: number
  /** So many random bytes follow each head, in all requests the same; none by default. */
  readonly randomBytes?: number
  /** Follows each head and what is random, in Base64. */
  readonly body: string
  /** What every answer must begin with, such as `HTTP/1.1 200`. */
  readonly expected: string
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly p50Milliseconds: number
  readonly p99Milliseconds: number
}

const load: Load = JSON.parse(await text(process.stdin))
const body = Buffer.from(load.body, 'base64')
const random = randomFillSync(Buffer.allocUnsafe(load.randomBytes ?? 0))
const total = load.heads.length * load.rounds
const times: number[] = []
let next = 0

function send(socket: Socket, number: number): void {
  const text = (load.heads[number % load.heads.length] ?? '').replaceAll('{n}', String(number))
  const head = Buffer.from(text.replaceAll('\n', '\r\n'))
  // What is small goes out at once, and what is large is not copied.
  if (random.length === 0) socket.write(Buffer.concat([head, body]))
  else for (const piece of [head, random, body]) socket.write(piece)
}

function work(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true })
  let asked = 0
  /** Bytes of the content that are still to come, once the head is there. */
  let left: number | undefined
  let received = ''

  function ask(): void {
    if (next === total) {
      socket.end()
      resolve()
      return
    }
    asked = performance.now()
    left = undefined
    received = ''
    send(socket, next)
    next += 1
  }

  /** @returns whether the answer is there as a whole. */
  function take(piece: Buffer): boolean {
    if (left !== undefined) {
      left -= piece.length
      return left === 0
    }
    received += piece.toString('latin1')
    const end = received.indexOf('\r\n\r\n')
    if (end === -1) return false
    if (!received.startsWith(load.expected)) throw new Error(`It answered: ${received}`)
    const head = received.slice(0, end + 2)
    // Only short contents come in chunks, which are kept until the last.
    if (/\r\ntransfer-encoding: chunked\r\n/i.test(head)) return received.endsWith('0\r\n\r\n')
    left = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0)
    left -= received.length - end - 4
    return left === 0
  }

  socket.on('connect', ask)
  socket.on('error', reject)
  socket.on('close', () => reject(new Error('The server closed the connection.')))
  socket.on('data', (piece: Buffer) => {
    try {
      if (!take(piece)) return
    } catch (error) {
      reject(error)
      return
    }
    times.push(performance.now() - asked)
    ask()
  })
  return promise
}

const began = performance.now()
await Promise.all(Array.from({ length: load.connections }, work))
const seconds = (performance.now() - began) / 1000
times.sort((a, b) => a - b)
const at = (part: number) => times[Math.floor(part * (times.length - 1))] ?? Number.NaN
const result: LoadResult = {
  requests: total,
  seconds,
  p50Milliseconds: at(0.5),
  p99Milliseconds: at(0.99),
}
console.log(JSON.stringify(result))
