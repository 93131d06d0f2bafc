import { randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { listDisk, listRows } from './data-folder.ts'
import { inspect, nothingWrong } from './inspection.ts'
import { type Acknowledged, nothingAcknowledged, someBytes, startLoad } from './load.ts'
import { type Coffer, makeFolder, startCoffer } from './start-coffer.ts'

const KiB = 1024
const rounds = 5
const load = { writers: 8, content: () => someBytes(randomInt(300 * KiB)), deleted: 1 / 3 }

// This shows that the order of writes is right, and nothing about syncs: the kernel outlives the
// process and keeps what was written. A store without any sync passes, and loses at a power cut.
describe('kill -9 under load', () => {
  it('loses no acknowledged file and leaves nothing half there', async () => {
    await using folder = await makeFolder()
    const known = nothingAcknowledged()
    const starts: number[] = []
    let interrupted = 0
    let drafts = 0

    await using running = new AsyncDisposableStack()
    let coffer = running.use(await startCoffer({ folder: folder.path }))
    for (let round = 1; round <= rounds; round += 1) {
      const writing = startLoad(coffer, known, load)
      await writing.acknowledged(75)
      await setTimeout(randomInt(100))
      await coffer.kill()
      interrupted += await writing.ended
      drafts += (await listDisk(folder.path)).drafts.length

      coffer = running.use(await startCoffer({ folder: folder.path }))
      starts.push(coffer.startMilliseconds)
      await expectWhole(coffer, known)
    }

    console.log(
      `kill -9: ${known.stored.size} files acknowledged and ${known.deleted.size} deleted in ` +
        `${rounds} rounds; ${interrupted} requests cut, ${drafts} drafts left and cleared; ` +
        `0 lost; ready again after ${starts.join(', ')} ms`,
    )
    expect(Math.max(...starts)).toBeLessThan(5000)
    expect(interrupted).toBeGreaterThan(0)
  })
})

async function expectWhole(coffer: Coffer, known: Acknowledged): Promise<void> {
  const afterStart = await listDisk(coffer.folder)
  expect(afterStart.drafts).toEqual([])

  const { listed, findings } = await inspect(coffer, known)
  expect(findings).toEqual(nothingWrong)

  // The first sweep runs at the start.
  await expect.poll(() => listRows(coffer.folder).loose, { timeout: 10_000 }).toEqual([])
  const { held } = listRows(coffer.folder)
  expect((await listDisk(coffer.folder)).blobs).toEqual(held)
  expect(held).toHaveLength(listed.length)
}
