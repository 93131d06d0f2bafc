/** Sixteen large uploads at once, while sixty-four clients read slowly. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { curl, curlAsk, curlUpload } from '../clients.ts'
import { startCoffer } from '../servers/coffer.ts'
import type { Row } from '../table.ts'
import { timed } from '../timed.ts'

const MiB = 1024 * 1024
const uploads = 16
const bytes = 512 * MiB
const readers = 64

export async function measureBusyServer(folder: string): Promise<Row[]> {
  await using coffer = await startCoffer(folder)
  const path = join(coffer.folder, 'large.bin')
  await writeFile(
    path,
    (function* () {
      const piece = Buffer.alloc(MiB, 'some content ')
      for (let left = bytes; left > 0; left -= MiB) yield piece
    })(),
  )
  const { id } = JSON.parse(await curl(...curlUpload(coffer.port, path)))
  const args = [
    '-s',
    '-o',
    '/dev/null',
    '--limit-rate',
    '1M',
    ...curlAsk(coffer.port, `/${id}/content`),
  ]
  const reading = Array.from({ length: readers }, () => spawn('curl', args, { stdio: 'ignore' }))
  try {
    await loopDelay(coffer.port)
    const run = await timed(coffer, () =>
      Promise.all(
        Array.from({ length: uploads }, () =>
          curl('-o', '/dev/null', ...curlUpload(coffer.port, path)),
        ),
      ),
    )
    const delay = await loopDelay(coffer.port)
    const work = `${uploads} uploads of 512 MiB at once, ${readers} readers at 1 MB/s`
    return [
      {
        work: `${work}: peak resident MiB`,
        measured: `${run.peakMiB.toFixed(0)} MiB, ${((uploads * bytes) / MiB / run.seconds).toFixed(0)} MiB/s`,
        figure: run.peakMiB,
        goal: { most: 160 },
        cpuSeconds: run.cpuSeconds,
        peakMiB: run.peakMiB,
      },
      {
        work: `${work}: the event loop's delay, p99 in milliseconds`,
        measured: `${delay.toFixed(1)} ms`,
        figure: delay,
        goal: { most: 50 },
      },
    ]
  } finally {
    await Promise.all(
      reading.map(async (reader) => {
        const ended = once(reader, 'exit')
        reader.kill()
        await ended
      }),
    )
  }
}

/** Since it was asked last. */
async function loopDelay(port: number): Promise<number> {
  const page = await curl(`http://127.0.0.1:${port}/metrics`)
  const [, seconds] = /^coffer_nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(page) ?? []
  return Number(seconds) * 1000
}
