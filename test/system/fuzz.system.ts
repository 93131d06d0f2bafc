import { File } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { type Coffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { chunked, createHead } from '../../packages/server/test/form-body.ts'
import { corpus } from '../../packages/server/test/form-corpus.ts'
import { inFlight, upTo } from './in-flight.ts'
import { report, tries } from './length.ts'
import { mutate, mutateBody, randomFrom, repairLength } from './mutate.ts'
import { atRest, countDescriptors, settled } from './process-state.ts'
import { runCase, statusesOf } from './raw-case.ts'

const cases = tries({ short: 20_000, long: 2_000_000 })
const mostMilliseconds = tries({ short: 90_000, long: 20 * 60_000 })
const seed = Number(process.env['COFFER_TEST_SEED'] ?? Date.now() % 2 ** 31)

/** Requests that are served or refused, from which all others are made. */
function seedsOf({ key }: Coffer, id: string): Buffer[] {
  const ask = (line: string, ...headers: string[]) =>
    Buffer.from(
      [`${line} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${key}`, ...headers, '', ''].join(
        '\r\n',
      ),
    )
  const uploads = corpus.flatMap(({ boundary, body }) => {
    const type = `Content-Type: multipart/form-data; boundary=${boundary}`
    return [
      Buffer.concat([Buffer.from(createHead(key, type, `Content-Length: ${body.length}`)), body]),
      Buffer.concat([
        Buffer.from(createHead(key, type, 'Transfer-Encoding: chunked')),
        chunked(body, [50]),
      ]),
    ]
  })
  const asking = [
    ask('GET /v1/files?limit=2&order=asc&purpose=user_data'),
    ask(`GET /v1/files?after=${id}`),
    ask(`GET /v1/files/${id}`, 'OpenAI-Organization: '),
    ask(`GET /v1/files/${id}/content`, 'Range: bytes=2-5', 'If-None-Match: "x"', 'Accept: */*'),
    ask(`HEAD /v1/files/${id}/content`, 'If-Range: "x"'),
    ask('DELETE /v1/files/file-1', 'Content-Type: application/json'),
    ask('OPTIONS /v1/files'),
    ask('GET /readyz'),
    ask('GET /docs/static/index.html'),
  ]
  // As often as the uploads, and two of them on one connection.
  const others = asking.flatMap((one) => [one, one, Buffer.concat([one, one])])
  return [...uploads, ...others, ...others]
}

describe('P52: requests made at random', () => {
  it('neither kill nor hang the server, and leave nothing behind', async () => {
    await using coffer = await startCoffer({
      env: { COFFER_LOG_LEVEL: 'silent', COFFER_IDLE_SECONDS: '2' },
    })
    const { id } = File.parse(await (await coffer.upload(Buffer.from('0123456789'))).json())
    // What is opened once and for all is open now.
    const descriptors = await countDescriptors(coffer)
    const seeds = seedsOf(coffer, id)
    const port = Number(new URL(coffer.url).port)
    const random = randomFrom(seed)
    const deadline = Date.now() + mostMilliseconds
    const counted = new Map<number, number>()
    const wrong: string[] = []
    let done = 0
    let slowest = 0

    await inFlight(upTo(cases), 48, async (number) => {
      if (Date.now() > deadline) return
      const original = seeds[Math.floor(random() * seeds.length)] ?? Buffer.alloc(0)
      const change = random() < 0.6 ? mutateBody : mutate
      const changed = change(original, seeds, random)
      const bytes = random() < 0.8 ? repairLength(changed) : changed
      // The server alone ends those that wait for more; of these some are enough.
      const way = random()
      const leave = way < 0.93 ? 'FIN' : way < 0.98 ? 'RST' : 'stay'
      const end = await runCase(bytes, { port, leave, patienceMilliseconds: 7000 })
      done += 1
      slowest = Math.max(slowest, end.milliseconds)
      const statuses = statusesOf(end.received)
      for (const status of statuses) counted.set(status, (counted.get(status) ?? 0) + 1)
      const isWrong = statuses.some((status) => status >= 500 || status === 101)
      if (isWrong || !end.closed || end.milliseconds > 5000) {
        wrong.push(
          `case ${number}, ${Math.round(end.milliseconds)} ms, closed: ${end.closed}, ` +
            `${statuses}: ${JSON.stringify(bytes.toString('latin1').slice(0, 2000))}`,
        )
      }
    })

    const statuses = [...counted]
      .sort(([a], [b]) => a - b)
      .map(([status, count]) => `${count}×${status}`)
    report(
      'P52',
      `${done} requests with the seed ${seed}, the slowest ${Math.round(slowest)} ms: ${statuses.join(', ')}`,
    )
    expect(wrong).toEqual([])
    // The same process, or nobody would answer.
    expect((await coffer.fetch('/healthz')).status).toBe(200)
    expect(process.kill(coffer.pid, 0)).toBe(true)
    const found = await settled(coffer, { descriptors })
    expect(found).toEqual({
      ...atRest(found.files, found.fileBytes, found.descriptors),
      descriptors: expect.toSatisfy((count: number) => count <= descriptors),
    })
    expect(await coffer.stop()).toEqual({ code: 0, signal: null })
  })
})
