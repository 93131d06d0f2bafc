import { open, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { findBlob } from './data-folder.ts'
import { runFake } from './fake-io.ts'
import {
  blobOf,
  changeRows,
  changeSmallBlobs,
  coffer,
  copyStore,
  type MadeStore,
  makeStore,
} from './made-store.ts'
import { startCoffer } from './start-coffer.ts'
import { startSteadyLoad } from './steady-load.ts'

const Damage = z.object({
  file: z.string(),
  what: z.string(),
  blob: z.string().optional(),
  isMarked: z.boolean(),
})

let made: MadeStore
beforeAll(async () => {
  made = await makeStore({ large: 40, small: 80 })
})
afterAll(async () => made[Symbol.asyncDispose]())

/** In this process, which takes a tenth of the time. */
async function scrub(folder: string) {
  const { code, stdout, stderr } = await runFake([
    ...['scrub', '--json', '--rate', '1000', '--data', folder],
  ])
  const lines = stdout.split('\n').filter((line) => line !== '')
  return { code, stderr, damaged: lines.map((line) => Damage.parse(JSON.parse(line))) }
}

async function flipByte(path: string, at: number): Promise<void> {
  await using handle = await open(path, 'r+')
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at)
  await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at)
}

describe.concurrent('coffer scrub', () => {
  it('finds nothing in a healthy store', async () => {
    const { code, stdout, stderr } = await coffer('scrub', '--rate', '1000', '--data', made.path)
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: '120 files, 11.8 MiB read; 0 damaged\n',
      stderr: '',
    })
  })

  it('finds 20 of 20 that are damaged in every way, marks them, and no other', async () => {
    await using store = await copyStore(made)
    const { path, large, small } = store
    const harmed = [...large.slice(3, 13), ...small.slice(20, 30)]
    for (const [index, id] of large.slice(3, 11).entries()) {
      await flipByte(findBlob(path, id), index * 38_000)
    }
    await truncate(findBlob(path, large[11] ?? ''), 299 * 1024)
    await rm(findBlob(path, large[12] ?? ''))
    for (const id of small.slice(20, 28)) {
      const blob = blobOf(store, id)
      changeSmallBlobs(store, `update blobs set content = zeroblob(2048) where id = '${blob}'`)
    }
    const [cut = '', gone = ''] = small.slice(28, 30).map((id) => blobOf(store, id))
    changeSmallBlobs(store, `update blobs set content = x'00' where id = '${cut}'`)
    changeSmallBlobs(store, `delete from blobs where id = '${gone}'`)

    const { code, damaged, stderr } = await scrub(path)
    expect(code).toBe(1)
    expect(damaged.map(({ file }) => file).sort()).toEqual([...harmed].sort())
    for (const { file, blob, isMarked } of damaged) {
      expect(blob).toBe(blobOf(store, file))
      expect(isMarked).toBe(true)
    }
    expect(stderr).toMatch(/^coffer: 20 of 120 files are damaged; .*\n$/)
    expect(listMarked(store).sort()).toEqual([...harmed].sort())
  })

  it('holds the whole content against its digest, where blocks have no checksums', async () => {
    await using store = await copyStore(made)
    const [id = ''] = store.large
    changeRows(store, `update segments set checksums = x'' where file_id = '${id}'`)
    expect((await scrub(store.path)).damaged).toEqual([])
    await flipByte(findBlob(store.path, id), 1)
    expect((await scrub(store.path)).damaged).toMatchObject([
      { file: id, what: 'its content is not what was stored' },
    ])
  })

  it('tells a line for each beside a running server, and marks nothing', async () => {
    await using store = await copyStore(made)
    const [id = ''] = store.large
    await using running = await startCoffer({ folder: store.path })
    await flipByte(findBlob(store.path, id), 5)
    const { code, stdout } = await coffer('scrub', '--rate', '1000', '--data', running.folder)
    expect(code).toBe(1)
    expect(stdout).toMatch(
      new RegExp(`^damaged: ${id}: Blob \\w+ is damaged in the block 0 \\(.*; not marked$`, 'm'),
    )
    expect(listMarked(store)).toEqual([])
  })

  it('takes no file for damaged that is deleted meanwhile', async () => {
    await using running = await startCoffer()
    const load = startSteadyLoad(running)
    await load.reached(50)
    for (let look = 0; look < 8; look += 1) {
      expect(await scrub(running.folder)).toMatchObject({ code: 0, damaged: [] })
    }
    await load.stop()
    expect(load.deleted.size).toBeGreaterThan(10)
  })

  it('reads no faster than it was told', async () => {
    const begun = performance.now()
    const { code } = await runFake(['scrub', '--rate', '8', '--data', made.path])
    expect(code).toBe(0)
    // 12 MiB, and 64 KiB more for each of 120 blobs.
    expect(performance.now() - begun).toBeGreaterThan(2000)
  })

  it.each(['0', '-1', 'much', ''])('ends with 2 for --rate %j', async (rate) => {
    expect(await runFake(['scrub', '--rate', rate])).toMatchObject({ code: 2, stdout: '' })
  })
})

function listMarked({ path }: MadeStore): string[] {
  using database = new DatabaseSync(join(path, 'coffer.db'), { readOnly: true })
  const rows = database.prepare('select id from files where damaged_at is not null').all()
  return rows.map(({ id }) => String(id))
}
