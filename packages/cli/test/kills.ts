/** A server under load that is killed again and again, and looked through after each start. */

import { randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { expect } from 'vitest'
import { listDisk } from './data-folder.ts'
import { findDebris } from './debris.ts'
import { runFake } from './fake-io.ts'
import { inspect, nothingWrong } from './inspection.ts'
import { nothingAcknowledged, someBytes, startLoad } from './load.ts'
import { startCoffer } from './start-coffer.ts'

const KiB = 1024
const load = { writers: 8, content: () => someBytes(randomInt(300 * KiB)), deleted: 1 / 3 }

export interface Kills {
  /** Acknowledged, deleted ones too. */
  readonly stored: number
  readonly deleted: number
  /** Requests under way when the process was killed. */
  readonly interrupted: number
  /** Files of uploads that were cut, before the start that cleared them. */
  readonly drafts: number
  /** Milliseconds from each start to the line that it listens. */
  readonly starts: number[]
}

export interface KillOptions {
  readonly kills: number
  /** That come before each kill. */
  readonly answers: number
}

/** Rejects if anything acknowledged is lost, or anything half there is seen or left. */
export async function killUnderLoad(
  folder: string,
  { kills, answers }: KillOptions,
): Promise<Kills> {
  const known = nothingAcknowledged()
  const starts: number[] = []
  let interrupted = 0
  let drafts = 0

  await using running = new AsyncDisposableStack()
  let coffer = running.use(await startCoffer({ folder }))
  for (let kill = 1; kill <= kills; kill += 1) {
    const writing = startLoad(coffer, known, load)
    await writing.acknowledged(answers)
    await setTimeout(randomInt(100))
    await coffer.kill()
    interrupted += await writing.ended
    drafts += (await listDisk(folder)).drafts.length
    // As the kill has left it, and below beside the server that cleans up.
    await expectNoFaults(folder)

    coffer = running.use(await startCoffer({ folder }))
    starts.push(coffer.startMilliseconds)
    await expectNoFaults(folder)
    expect((await listDisk(folder)).drafts).toEqual([])
    const { listed, findings } = await inspect(coffer, known)
    expect(findings).toEqual(nothingWrong)
    expect(await findDebris({ rows: folder, blobs: folder }, listed)).toEqual([])
  }
  const deleted = known.deleted.size
  return { stored: known.stored.size + deleted, deleted, interrupted, drafts, starts }
}

export async function expectNoFaults(folder: string): Promise<void> {
  const { code, stdout, stderr } = await runFake(['fsck', '--data', folder])
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('; 0 orphans, 0 B, of which 0 quarantined; 0 faults')
}
