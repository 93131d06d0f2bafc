import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type Coffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { inFlight, upTo } from './in-flight.ts'
import { report, tries } from './length.ts'
import { type ProxyName, skipReasonOf, startProxy } from './proxies.ts'
import { smugglers } from './smuggling.ts'

const rounds = tries({ short: 2, long: 7 })
const names: ProxyName[] = ['haproxy', 'nginx']
/** So long that an answer would have come; with it a connection counts as told all. */
const silenceMilliseconds = 700

type Target = { path: string } | { port: number; host: string }

/** Sends bytes and gives all that comes until the connection closes or falls silent. */
async function talk(target: Target, bytes: Buffer): Promise<string> {
  const socket = connect({ ...target, allowHalfOpen: true })
  const received: Buffer[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  let silence = setTimeout(resolve, silenceMilliseconds)
  socket.on('data', (piece: Buffer) => {
    received.push(piece)
    clearTimeout(silence)
    silence = setTimeout(resolve, silenceMilliseconds)
  })
  socket.on('error', () => resolve())
  socket.on('end', () => resolve())
  socket.write(bytes)
  await promise
  clearTimeout(silence)
  socket.destroy()
  return Buffer.concat(received).toString('latin1')
}

function ask(url: string, key: string): string {
  return `GET ${url} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\n\r\n`
}

interface Outcome {
  /** What is wrong with answers that neighbours got. */
  readonly poisoned: string[]
  /** Hidden requests whose answers did not come to who hid them. */
  readonly strayed: string[]
  readonly neighbours: number
  readonly hiddenServed: number
}

/** @param logged the hidden requests that the server has seen, with the ids of their answers. */
async function attack(
  target: Target,
  key: string,
  logged: () => Promise<{ url: string; reqId: string }[]>,
): Promise<Outcome> {
  const poisoned: string[] = []
  const received = new Map<string, string>()
  let neighbours = 0
  let attacking = true

  /** Asks again and again on connections of its own, and must get what it asked for. */
  async function neighbour(number: number): Promise<void> {
    while (attacking) {
      const id = `marker-${number}-${neighbours}`
      neighbours += 1
      const socket = connect(target)
      let text = ''
      socket.setEncoding('latin1').on('data', (piece: string) => {
        text += piece
      })
      socket.on('error', () => {})
      const closed = once(socket, 'close')
      const close = 'Connection: close\r\n\r\n'
      socket.write(ask(`/v1/files/${id}`, key).replace(/\r\n$/, close))
      await closed
      const answers = text.match(/HTTP\/1\.1 \d{3} /g) ?? []
      const isOwn = answers.length === 1 && text.includes(`No such File object: ${id}`)
      if (!isOwn) poisoned.push(`${id}: ${text.slice(0, 300)}`)
    }
  }

  const neighbouring = Promise.all([...upTo(3)].map(neighbour))
  const attacks = [...upTo(rounds)].flatMap((round) =>
    smugglers.map((smuggler, at) => ({ ...smuggler, id: `hidden-${round}-${at}` })),
  )
  await inFlight(attacks, 24, async ({ bytes, id }) => {
    const hidden = ask(`/v1/files/${id}`, key)
    received.set(id, await talk(target, Buffer.from(bytes(hidden), 'latin1')))
  })
  attacking = false
  await neighbouring
  const served = await logged()
  const strayed = served
    .filter(({ url, reqId }) => !received.get(url.replace('/v1/files/', ''))?.includes(reqId))
    .map(({ url }) => {
      const [, at] = /-(\d+)$/.exec(url) ?? []
      return `${url}: ${smugglers[Number(at)]?.name}`
    })
  return { poisoned, strayed, neighbours, hiddenServed: served.length }
}

const Line = z.object({ url: z.string(), reqId: z.string(), status: z.int() })

async function hiddenRequests(coffer: Coffer): Promise<z.infer<typeof Line>[]> {
  // The last line may be on its way.
  const ending = await coffer.stop()
  expect(ending).toEqual({ code: 0, signal: null })
  const lines = coffer.stderr.split('\n').filter((line) => line.includes('/v1/files/hidden-'))
  // What comes behind a refusal that closes the connection is refused, too: nobody looked for it.
  return lines.map((line) => Line.parse(JSON.parse(line))).filter(({ status }) => status === 404)
}

describe('P54: a request hidden in another', () => {
  it('is served as its own or not at all, without a proxy', async () => {
    await using coffer = await startCoffer()
    const target = { port: Number(new URL(coffer.url).port), host: '127.0.0.1' }
    const { poisoned, strayed, neighbours, hiddenServed } = await attack(target, coffer.key, () =>
      hiddenRequests(coffer),
    )
    report(
      'P54',
      `no proxy: ${rounds * smugglers.length} smugglers, ${hiddenServed} served as pipelined, ${neighbours} neighbours, ${poisoned.length} poisoned, ${strayed.length} strayed`,
    )
    expect({ poisoned, strayed }).toEqual({ poisoned: [], strayed: [] })
  })

  for (const name of names) {
    it.skipIf(skipReasonOf(name) !== undefined)(
      `never gets to a neighbour behind ${name}`,
      async () => {
        await using coffer = await startCoffer()
        await using proxy = await startProxy(name, coffer.url)
        const { poisoned, strayed, neighbours, hiddenServed } = await attack(
          proxy,
          coffer.key,
          () => hiddenRequests(coffer),
        )
        report(
          'P54',
          `${name}: ${rounds * smugglers.length} smugglers, ${hiddenServed} served as pipelined, ${neighbours} neighbours, ${poisoned.length} poisoned, ${strayed.length} strayed`,
        )
        expect(neighbours).toBeGreaterThan(100)
        expect({ poisoned, strayed }).toEqual({ poisoned: [], strayed: [] })
      },
    )
  }
})

describe.skipIf(skipReasonOf('haproxy') !== undefined)('the test itself', () => {
  it('sees the neighbours of a server that knows no chunks poisoned', async () => {
    const naive = createServer((socket) => {
      let text = ''
      socket.setEncoding('latin1').on('error', () => {})
      socket.on('data', (piece: string) => {
        text += piece
        const heads = text.split('\r\n\r\n')
        text = heads.pop() ?? ''
        for (const head of heads) {
          const [, id = ''] = /(?:GET|POST) \/v1\/files\/(\S+) HTTP/.exec(head) ?? []
          if (id === '') continue
          const body = `No such File object: ${id}`
          socket.write(`HTTP/1.1 404 Not Found\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
        }
      })
    })
    naive.listen(0, '127.0.0.1')
    await once(naive, 'listening')
    const address = naive.address()
    if (address === null || typeof address === 'string') throw new Error('It has no port.')
    try {
      await using proxy = await startProxy('haproxy', `http://127.0.0.1:${address.port}`)
      const { poisoned } = await attack(proxy, 'none', async () => [])
      expect(poisoned.length).toBeGreaterThan(0)
    } finally {
      naive.close()
    }
  })
})
