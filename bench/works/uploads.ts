/** A file of 8 GiB up in parts, a few at a time, beside nginx, which takes as many files. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cofferHead, curl, curlAskUploads, partOf, runLoad } from '../clients.ts'
import { flush, inTurn, median } from '../measure.ts'
import { startCoffer } from '../servers/coffer.ts'
import { startNginx } from '../servers/nginx.ts'
import type { Row } from '../table.ts'
import { secondsOf, type Timed, timed, usageOf } from '../timed.ts'

const MiB = 1024 * 1024
const partBytes = 64 * MiB
const parts = 128
const connections = 4
/** Fewer than elsewhere: each writes 16 GiB. */
const rounds = 3

/**
 * What each part begins with, as the same bytes sent again would be the same part. The rest of them
 * stands once in the client's memory. As files for curl they would take 8 GiB of `/dev/shm`, a third
 * of this machine's memory, from what the servers write to, and curl takes twice the processor time
 * to send them (measured: 1.2 s for 2 GiB, beside 0.6).
 */
const beginnings = Array.from({ length: parts }, (_, number) => String(number).padStart(4, '0'))
const randomBytes = partBytes - 4

/** Each run has a server of its own, so that none removes what it had while another is measured. */
export async function measureUploads(folder: string): Promise<Row[]> {
  const completions: number[] = []
  const { a, b } = await inTurn(
    rounds,
    async () => {
      const { run, completion } = await upload(folder)
      completions.push(completion)
      return run
    },
    () => put(folder),
  )
  const work = '8 GiB Upload in parts of 64 MiB, four at a time'
  const usage = usageOf(a)
  const { peakMiB = Number.NaN } = usage
  const completion = median(completions)
  return [
    {
      work: `${work}, beside nginx DAV PUT`,
      measured: `${secondsOf(a).toFixed(3)} s, nginx ${secondsOf(b).toFixed(3)} s`,
      figure: secondsOf(a) / secondsOf(b),
      goal: { most: 1.2 },
      ...usage,
    },
    {
      work: `${work}: peak resident MiB`,
      measured: `${peakMiB.toFixed(0)} MiB`,
      figure: peakMiB,
      goal: { most: 200 },
    },
    {
      work: `completing an Upload of ${parts} parts of 64 MiB without MD5, in milliseconds`,
      measured: `${completion.toFixed(1)} ms`,
      figure: completion,
      goal: { most: 100 },
    },
  ]
}

async function upload(folder: string): Promise<{ run: Timed; completion: number }> {
  await using coffer = await startCoffer(folder)
  const { port } = coffer
  let completion = Number.NaN
  flush()
  const run = await timed(coffer, async () => {
    const id = await create(port)
    const forms = beginnings.map((begins) => partOf(id, begins, randomBytes))
    const heads = forms.map(({ head }) => head)
    const body = forms[0]?.body ?? ''
    const expected = 'HTTP/1.1 200'
    await runLoad({ port, connections, heads, rounds: 1, randomBytes, body, expected })
    completion = await complete(port, id)
  })
  return { run, completion }
}

async function create(port: number): Promise<string> {
  const bytes = parts * partBytes
  const upload = { filename: 'large.bin', purpose: 'user_data', bytes, mime_type: 'text/plain' }
  const args = ['--json', JSON.stringify(upload)]
  const answer: { id: string } = JSON.parse(await curl(...curlAskUploads(port, '', ...args)))
  return answer.id
}

/** @returns the milliseconds that the server took for it. */
async function complete(port: number, id: string): Promise<number> {
  const list: { data: { id: string }[] } = JSON.parse(
    await curl(...curlAskUploads(port, `/${id}/parts`)),
  )
  const body = Buffer.from(JSON.stringify({ part_ids: list.data.map((part) => part.id) }))
  const headers = ['Content-Type: application/json', `Content-Length: ${body.length}`]
  const { p50Milliseconds } = await runLoad({
    ...{ port, connections: 1, rounds: 1, expected: 'HTTP/1.1 200' },
    heads: [cofferHead(`POST /v1/uploads/${id}/complete`, headers)],
    body: body.toString('base64'),
  })
  return p50Milliseconds
}

async function put(folder: string): Promise<Timed> {
  await using nginx = await startNginx(folder)
  await mkdir(join(nginx.folder, 'files'))
  const { port } = nginx
  const heads = beginnings.map((begins) => {
    const line = `PUT /part-${begins} HTTP/1.1`
    return [line, 'Host: bench', `Content-Length: ${partBytes}`, '', begins].join('\n')
  })
  flush()
  return await timed(nginx, () =>
    runLoad({
      ...{ port, connections, heads, rounds: 1, randomBytes, body: '' },
      expected: 'HTTP/1.1 201',
    }),
  )
}
