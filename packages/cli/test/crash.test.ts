import { describe, expect, it } from 'vitest'
import { killUnderLoad } from './kills.ts'
import { makeFolder } from './start-coffer.ts'

const rounds = 5

// This shows that the order of writes is right, and nothing about syncs: the kernel outlives the
// process and keeps what was written. A store without any sync passes, and loses at a power cut.
describe('kill -9 under load', () => {
  it('loses no acknowledged file and leaves nothing half there', async () => {
    await using folder = await makeFolder()
    const kills = await killUnderLoad(folder.path, { kills: rounds, answers: 75 })
    console.log(
      `kill -9: ${kills.stored} files acknowledged and ${kills.deleted} deleted in ` +
        `${rounds} rounds; ${kills.interrupted} requests cut, ${kills.drafts} drafts left and ` +
        `cleared; 0 lost; ready again after ${kills.starts.join(', ')} ms`,
    )
    expect(Math.max(...kills.starts)).toBeLessThan(5000)
    expect(kills.interrupted).toBeGreaterThan(0)
  })
})
