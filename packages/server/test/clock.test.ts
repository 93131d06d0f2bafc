/** P27: what a clock that jumps does to files and uploads. */

import { describe, expect, it } from 'vitest'
import { createHead, fieldPart, filePart, formBody } from './form-body.ts'
import { startServer } from './start-server.ts'
import { begunBytes } from './test-stores.ts'
import { until } from './until.ts'

const MiB = 1024 * 1024
const day = 24 * 3600
const start = 1_700_000_000
const multipart = 'Content-Type: multipart/form-data; boundary=cut-here'

describe('a clock', () => {
  it('that jumps forward by two days takes nothing from an upload that is under way', async () => {
    await using server = await openAt(start)
    const content = Buffer.alloc(begunBytes + 2 * MiB, 'x')
    const body = formBody('cut-here', [fieldPart('purpose', 'user_data'), filePart(content)])
    const cut = body.length - MiB
    const connection = await server.connect()
    connection.write(createHead(server.apiKey, multipart, `Content-Length: ${body.length}`))
    connection.write(body.subarray(0, cut))
    await until(async () => (await server.stored()).blobs.length === 1)

    server.clock.time += 2 * day
    const sweeps = await sweepsOf(server.url)
    // A sweep begins each second.
    await expect.poll(() => sweepsOf(server.url), { timeout: 20_000 }).toBeGreaterThan(sweeps + 1)
    connection.write(body.subarray(cut))
    const answer = await connection.answer()
    expect(answer.status).toBe(200)
    const { id } = (await answer.json()) as { id: string }
    const read = await server.fetch(`/v1/files/${id}/content`)
    expect((await read.arrayBuffer()).byteLength).toBe(content.length)
  })

  it('that jumps back leaves every file in the pages, once', async () => {
    await using server = await openAt(start)
    const ids: string[] = []
    for (const jump of [0, 10, -day, 5, -day, day, 0]) {
      server.clock.time += jump
      ids.push((await server.create(String(jump))).id)
    }
    server.clock.time -= 10 * day
    const seen: string[] = []
    for (let after: string | undefined; ; after = seen.at(-1)) {
      const page = await server.list(`limit=2${after === undefined ? '' : `&after=${after}`}`)
      seen.push(...page.data.map(({ id }) => id))
      if (!page.has_more) break
    }
    expect(seen.toSorted()).toEqual(ids.toSorted())
  })

  it('beyond 2038 is told right, and what is to expire then does so on time', async () => {
    const later = 2 ** 31 + 1000
    await using server = await openAt(later)
    const response = await server.upload('content', {
      purpose: 'user_data',
      'expires_after[anchor]': 'created_at',
      'expires_after[seconds]': '3600',
    })
    const file = (await response.json()) as { id: string }
    expect(file).toMatchObject({ created_at: later, expires_at: later + 3600 })
    server.clock.time = later + 3599
    expect((await server.fetch(`/v1/files/${file.id}`)).status).toBe(200)
    server.clock.time = later + 3600
    expect((await server.fetch(`/v1/files/${file.id}`)).status).toBe(404)
  })
})

async function openAt(time: number) {
  const clock = { time, now: () => clock.time }
  const server = await startServer({ clock, settings: { COFFER_SWEEP_SECONDS: '1' } })
  return Object.assign(server, { clock })
}

async function sweepsOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^coffer_sweeps_total (\d+)$/m.exec(text)?.[1])
}
