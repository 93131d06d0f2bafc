/** P18: a scrub finds all silent damage, and reads beside it are hardly slower. */

import { randomBytes, randomInt } from 'node:crypto'
import { open } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { findBlob } from '../../packages/cli/test/data-folder.ts'
import { blobOf, changeSmallBlobs } from '../../packages/cli/test/made-store.ts'
import { type Coffer, runCoffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report, tries } from './length.ts'

const KiB = 1024
const files = tries({ short: 1000, long: 10_000 })
const reads = tries({ short: 500, long: 3000 })
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
  const healthy = await scrub(server, 500)
  expect(healthy).toEqual({ code: 0, damaged: [] })

  const damaged = [...small.slice(-smallFiles), ...large.slice(smallFiles - harmed)]
  for (const id of small.slice(-smallFiles)) await harmSmall(server, id)
  for (const id of large.slice(smallFiles - harmed)) await harmLarge(server, id)
  const whole = all.filter((id) => !damaged.includes(id))

  await measure(server, whole)
  const alone = await measure(server, whole)
  // At its own pace, again and again until all is measured.
  let isMeasured = false
  const scrubbing = (async () => {
    const outcomes = [await scrub(server)]
    while (!isMeasured) outcomes.push(await scrub(server))
    return outcomes
  })()
  const beside = await measure(server, whole)
  isMeasured = true
  const outcomes = await scrubbing
  for (const { code, damaged: found } of outcomes) {
    expect(code).toBe(1)
    expect([...found].sort()).toEqual([...damaged].sort())
  }
  report(
    'P18',
    `of ${all.length} files ${damaged.length} damaged: all found in each of ${outcomes.length} ` +
      `scrubs, 0 others; p99 of GET ${alone.toFixed(1)} ms alone, ${beside.toFixed(1)} ms beside it.`,
  )
  // A millisecond is nothing that anyone would notice, and half of what a busy machine adds.
  expect(beside).toBeLessThan(2 * alone + 1)
})

async function scrub(server: Coffer, rate?: number) {
  const pace = rate === undefined ? [] : ['--rate', String(rate)]
  await using program = runCoffer(['scrub', '--json', '--data', server.folder, ...pace])
  const { code } = await program.ended
  const lines = program.stdout.split('\n').filter((line) => line !== '')
  return { code, damaged: lines.map((line) => Damage.parse(JSON.parse(line)).file) }
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

/** The p99 of reading whole files one after the other, in milliseconds. */
async function measure(server: Coffer, ids: readonly string[]): Promise<number> {
  const times: number[] = []
  for (let read = 0; read < reads; read += 1) {
    const begun = performance.now()
    const answer = await server.fetch(`/v1/files/${ids[randomInt(ids.length)]}/content`)
    await answer.arrayBuffer()
    times.push(performance.now() - begun)
    expect(answer.status).toBe(200)
  }
  return times.sort((one, other) => one - other)[Math.floor(times.length * 0.99)] ?? 0
}
