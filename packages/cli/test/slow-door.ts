/** A door in front of a server that lets bytes through at a given rate, in both directions. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'

export interface SlowDoor extends AsyncDisposable {
  /** As http://127.0.0.1:PORT */
  readonly url: string
}

export async function openSlowDoor(target: string, bytesPerSecond: number): Promise<SlowDoor> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const door = createServer((near) => {
    const far = connect(Number(port), hostname)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          near.destroy()
          far.destroy()
        })
    }
    near.pipe(slowed(bytesPerSecond)).pipe(far)
    far.pipe(slowed(bytesPerSecond)).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(door, 'listening')
  const { port: own } = door.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${own}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      door.close()
      await once(door, 'close')
    },
  }
}

function slowed(bytesPerSecond: number): Transform {
  return new Transform({
    async transform(piece: Buffer, _, done) {
      await wait((piece.length / bytesPerSecond) * 1000)
      done(null, piece)
    },
  })
}
