/** Sends bytes to a server and tells what it did about them. */

import { connect } from 'node:net'

export interface CaseEnd {
  /** All answers, with the interim ones. */
  readonly received: string
  readonly milliseconds: number
  /** Whether the server closed the connection, or nothing happened for too long. */
  readonly closed: boolean
}

export interface CaseOptions {
  readonly port: number
  /** How the client leaves when it has sent all; if it stays, only the server can end it. */
  readonly leave: 'FIN' | 'RST' | 'stay'
  readonly patienceMilliseconds: number
}

export function runCase(
  bytes: Uint8Array,
  { port, leave, patienceMilliseconds }: CaseOptions,
): Promise<CaseEnd> {
  const { promise, resolve } = Promise.withResolvers<CaseEnd>()
  const begun = performance.now()
  const received: Buffer[] = []
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const end = (closed: boolean) => {
    clearTimeout(patience)
    resolve({
      received: Buffer.concat(received).toString('latin1'),
      milliseconds: performance.now() - begun,
      closed,
    })
    socket.destroy()
  }
  const patience = setTimeout(() => end(false), patienceMilliseconds)
  socket.on('data', (piece: Buffer) => received.push(piece))
  // A reset, as when the server closes what still sends, is an end as well.
  socket.once('error', () => end(true))
  socket.once('end', () => end(true))
  socket.once('close', () => end(true))
  if (leave === 'FIN') socket.end(bytes)
  else socket.write(bytes, () => leave === 'RST' && socket.resetAndDestroy())
  return promise
}

/** The statuses of answers whose bodies have no such line, as none of this server's JSON has. */
export function statusesOf(received: string): number[] {
  const lines = received.matchAll(/HTTP\/1\.1 (\d{3}) [A-Za-z' -]+\r\n/g)
  return [...lines].map(([, status]) => Number(status))
}
