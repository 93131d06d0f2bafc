/** P15: after older rows were put back by hand, nothing that newer rows held is removed. */

import { copyFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { listDisk } from '../../packages/cli/test/data-folder.ts'
import { type Coffer, makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report } from './length.ts'

const Id = z.object({ id: z.string() })
const env = { COFFER_SWEEP_SECONDS: '1' }

describe('older rows beside newer bytes', () => {
  it('keep the sweep from every blob, and the server says so', async () => {
    await using folder = await makeFolder()
    const rows = join(folder.path, 'coffer.db')
    const copy = join(folder.path, 'copy-of-rows')
    {
      await using coffer = await startCoffer({ folder: folder.path, env })
      await upload(coffer, 10)
      // To the copy the blobs of the uploads to come are loose ones, listed ahead of need.
      copyRows(rows, copy)
      await upload(coffer, 10)
      await coffer.stop()
    }
    {
      await using coffer = await startCoffer({ folder: folder.path, env })
      await upload(coffer, 40)
      await coffer.stop()
    }
    const before = (await listDisk(folder.path)).blobs
    await rm(rows)
    await copyFile(copy, rows)

    await using coffer = await startCoffer({ folder: folder.path, env })
    expect(coffer.stderr).toContain('the rows are older than the bytes')
    const listed = z
      .object({ data: z.array(Id) })
      .parse(await (await coffer.fetch('/v1/files')).json())
    expect(listed.data).toHaveLength(10)
    const sweeps = 5
    await expect.poll(() => sweepsOf(coffer), { timeout: 30_000 }).toBeGreaterThanOrEqual(sweeps)
    expect((await listDisk(folder.path)).blobs).toEqual(before)
    // Those that the restored rows delete themselves are removed as ever.
    const [first] = listed.data
    await coffer.fetch(`/v1/files/${first?.id}`, { method: 'DELETE' })
    await expect
      .poll(async () => (await listDisk(folder.path)).blobs.length, { timeout: 30_000 })
      .toBe(before.length - 1)
    expect(await readdir(folder.path)).toContain('blobs')
    report('P15', `older rows put back: ${before.length} blobs, 0 removed in ${sweeps} sweeps`)
  })
})

function copyRows(from: string, to: string): void {
  using database = new DatabaseSync(from, { timeout: 5000 })
  database.prepare('vacuum into ?').run(to)
}

async function upload(coffer: Coffer, count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    expect((await coffer.upload(Buffer.alloc(at * 1000, 'x'))).status).toBe(200)
  }
}

async function sweepsOf(coffer: Coffer): Promise<number> {
  const text = await (await coffer.fetch('/metrics')).text()
  return Number(/^coffer_sweeps_total (\d+)$/m.exec(text)?.[1])
}
