/** P18: a scrub finds all silent damage, and reads beside it are hardly slower. */

import { randomBytes, randomInt } from 'node:crypto'
import { open } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { findBlob } from '../../packages/cli/test/data-folder.ts'
import { blobOf, changeSmallBlobs } from '../../packages/cli/test/made-store.ts'
import { type Coffer, runCoffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report, tries } from './length.ts'

const KiB = 1024
const files = tries({ short: 1000, long: 10_000 })
const turns = tries({ short: 3, long: 15 })
/** Of one turn. */
const reads = 300
const clients = 8
const harmed = 20
const smallFiles = 10

const Id = z.object({ id: z.string() })
const Damage = z.object({ file: z.string() })

it('20 of 20 damaged files are found, no other, and reads go on beside it', async () => {
  await using server = await startCoffer()
  const small: string[] = []
  const large: string[] = []
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (small.length + large.length < files) {
        const isSmall = randomInt(2) === 0
        const content = randomBytes(isSmall ? 2 * KiB : 40 * KiB)
        const answer = await server.upload(content)
        const { id } = Id.parse(await answer.json())
        if (isSmall) small.push(id)
        else large.push(id)
      }
    }),
  )
  const all = [...small, ...large]
  const healthy = await startScrub(server, 500).outcome
  expect(healthy).toEqual({ code: 0, damaged: [] })

  const damaged = [...small.slice(-smallFiles), ...large.slice(smallFiles - harmed)]
  for (const id of small.slice(-smallFiles)) await harmSmall(server, id)
  for (const id of large.slice(smallFiles - harmed)) await harmLarge(server, id)
  const whole = all.filter((id) => !damaged.includes(id))

  // In turns, so that whatever else the machine does slows both alike.
  await measure(server, whole)
  const alone: number[] = []
  const beside: number[] = []
  const scrubs = [startScrub(server)]
  // What a program costs to start is not what a scrub costs.
  await setTimeout(1500)
  for (let turn = 0; turn < turns; turn += 1) {
    scrubs.at(-1)?.program.signal('SIGSTOP')
    alone.push(...(await measure(server, whole)))
    // Where one has come to its end, the next begins.
    if (scrubs.at(-1)?.program.signal('SIGCONT') !== true) scrubs.push(startScrub(server))
    beside.push(...(await measure(server, whole)))
  }
  for (const { outcome } of scrubs) {
    const { code, damaged: found } = await outcome
    expect(code).toBe(1)
    expect([...found].sort()).toEqual([...damaged].sort())
  }
  const [p99Alone, p99Beside] = [percentile99(alone), percentile99(beside)]
  report(
    'P18',
    `of ${all.length} files ${damaged.length} damaged: ${damaged.length} found by each scrub ` +
      `(${scrubs.length}), 0 others; p99 of ${alone.length} GET ${p99Alone.toFixed(1)} ms alone, ` +
      `of as many ${p99Beside.toFixed(1)} ms beside it.`,
  )
  expect(p99Beside).toBeLessThan(2 * p99Alone)
})

/** At its own pace, unless another is given. */
function startScrub(server: Coffer, rate?: number) {
  const pace = rate === undefined ? [] : ['--rate', String(rate)]
  const program = runCoffer(['scrub', '--json', '--data', server.folder, ...pace])
  const outcome = program.ended.then(({ code }) => {
    const lines = program.stdout.split('\n').filter((line) => line !== '')
    return { code, damaged: lines.map((line) => Damage.parse(JSON.parse(line)).file) }
  })
  return { program, outcome }
}

/** One bit, as a disk that decays. */
async function harmLarge({ folder }: Coffer, id: string): Promise<void> {
  await using handle = await open(findBlob(folder, id), 'r+')
  const at = randomInt(40 * KiB)
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at)
  await handle.write(Buffer.from([(buffer[0] ?? 0) ^ (1 << randomInt(8))]), 0, 1, at)
}

async function harmSmall({ folder }: Coffer, id: string): Promise<void> {
  const blob = blobOf({ path: folder }, id)
  changeSmallBlobs(
    { path: folder },
    `update blobs set content = zeroblob(2048) where id = '${blob}'`,
  )
}

/** How long it takes to read whole files, one after the other, in milliseconds. */
async function measure(server: Coffer, ids: readonly string[]): Promise<number[]> {
  const times: number[] = []
  for (let read = 0; read < reads; read += 1) {
    const begun = performance.now()
    const answer = await server.fetch(`/v1/files/${ids[randomInt(ids.length)]}/content`)
    await answer.arrayBuffer()
    times.push(performance.now() - begun)
    expect(answer.status).toBe(200)
  }
  return times
}

function percentile99(times: readonly number[]): number {
  return times.toSorted((one, other) => one - other)[Math.floor(times.length * 0.99)] ?? 0
}
