import { mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
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
import { makeFolder, startCoffer } from './start-coffer.ts'
import { startSteadyLoad } from './steady-load.ts'

const Report = z.object({
  files: z.int(),
  bytes: z.int(),
  loose: z.int(),
  orphans: z.object({ count: z.int(), bytes: z.int(), quarantined: z.int() }),
  faults: z.array(z.looseObject({ kind: z.string() })),
})

let made: MadeStore
beforeAll(async () => {
  made = await makeStore()
})
afterAll(async () => made[Symbol.asyncDispose]())

/** Runs it in this process, which takes a tenth of the time. */
async function check(store: { path: string }, ...args: readonly string[]) {
  const given = ['fsck', '--json', '--data', store.path, ...args]
  const { code, stdout, stderr } = await runFake(given)
  const reports = stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Report.parse(JSON.parse(line)))
  return { code, stderr, reports, report: reports.at(-1) }
}

const orphan = 'ab0123456789abcdef0123456789abcd'

async function addOrphan({ path }: { path: string }, id = orphan): Promise<void> {
  await writeFile(join(path, 'blobs', id.slice(0, 2), id), 'bytes of nobody')
}

async function overwrite(path: string, at: number, length: number): Promise<void> {
  await using handle = await open(path, 'r+')
  await handle.write(Buffer.alloc(length, 0xa5), 0, length, at)
}

/** The first page of an index, counted from 1. */
function rootOf(path: string, index: string): number {
  using database = new DatabaseSync(join(path, 'coffer.db'), { readOnly: true })
  const select = database.prepare('select rootpage from sqlite_schema where name = ?')
  return Number(select.get(index)?.['rootpage'])
}

async function changeMark({ path }: { path: string }, changes: object): Promise<void> {
  const file = join(path, 'blobs', 'STORE')
  const mark: unknown = JSON.parse(await readFile(file, 'utf8'))
  await writeFile(file, JSON.stringify({ ...z.looseObject({}).parse(mark), ...changes }))
}

describe.concurrent('coffer fsck', () => {
  it('finds nothing wrong with a healthy store, and changes nothing', async () => {
    await using store = await copyStore(made)
    const rows = await readFile(join(store.path, 'coffer.db'))
    const { code, stdout, stderr } = await coffer('fsck', '--data', store.path)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^6 files, 906 KiB; \d+ loose blobs; 0 orphans, 0 B, .*; 0 faults\n$/)
    expect(await readFile(join(store.path, 'coffer.db'))).toEqual(rows)
  })

  const faults: readonly [string, (store: MadeStore) => unknown, string[]][] = [
    [
      'a large blob that is gone',
      ({ path, large: [id = ''] }) => rm(findBlob(path, id)),
      ['dangling'],
    ],
    [
      'a small blob that is gone',
      (store) =>
        changeSmallBlobs(
          store,
          `delete from blobs where id = '${blobOf(store, store.small[0] ?? '')}'`,
        ),
      ['dangling'],
    ],
    [
      'a large blob that was cut',
      ({ path, large: [id = ''] }) => truncate(findBlob(path, id), 1000),
      ['mismatching'],
    ],
    [
      'a small blob that was cut',
      (store) =>
        changeSmallBlobs(
          store,
          `update blobs set content = x'00' where id = '${blobOf(store, store.small[0] ?? '')}'`,
        ),
      ['mismatching'],
    ],
    [
      'a part of a pending Upload that is gone',
      (store) =>
        changeRows(
          store,
          `insert into uploads (id, organization_id, project_id, purpose, filename, mime_type,
             bytes, created_at, expires_at, status)
           select 'upload_1', organization_id, id, 'user_data', 'a', 'b', 0, 0, 4000000000, 'pending'
           from projects limit 1;
           insert into parts (id, upload_id, blob_id, bytes, sha256, checksums, encoding, created_at)
           values ('part_1', 'upload_1', '${orphan}', 7, '', x'', 'binary', 0)`,
        ),
      ['dangling'],
    ],
    [
      'usage that is not the sum of the files',
      (store) => changeRows(store, 'update organizations set used_bytes = used_bytes + 1'),
      ['miscounted'],
    ],
    [
      'a file whose size is not that of its segments',
      (store) =>
        changeRows(store, `update files set bytes = bytes + 1 where id = '${store.small[1]}'`),
      ['missized', 'miscounted'],
    ],
    [
      'a file that was found to be damaged',
      (store) =>
        changeRows(store, `update files set damaged_at = 1 where id = '${store.small[1]}'`),
      ['damaged'],
    ],
    [
      'a blob that is both held and loose',
      (store) =>
        changeRows(
          store,
          `insert into loose_blobs (blob_id, sweep_after) values ('${blobOf(store, store.large[0] ?? '')}', 0)`,
        ),
      ['held-and-loose'],
    ],
    ['bytes of another store', (store) => changeMark(store, { id: 'store_another' }), ['mark']],
    [
      'rows that are older than the bytes',
      (store) => changeMark(store, { generation: 9 }),
      ['mark'],
    ],
    [
      'bytes that are older than the rows',
      (store) => changeMark(store, { generation: -1 }),
      ['mark'],
    ],
    ['bytes without a mark', ({ path }) => rm(join(path, 'blobs', 'STORE')), ['mark']],
    [
      'a segment without its file',
      (store) => changeRows(store, `delete from files where id = '${store.small[1]}'`),
      ['database', 'miscounted'],
    ],
    [
      'rows that are damaged',
      ({ path }) => overwrite(join(path, 'coffer.db'), 8192, 4096 * 4),
      ['database'],
    ],
    [
      'a page of rows that nothing but SQLite itself looks at',
      ({ path }) => {
        const page = rootOf(path, 'deleted_files_by_age')
        return overwrite(join(path, 'coffer.db'), (page - 1) * 4096, 100)
      },
      ['database'],
    ],
    [
      'a database of small blobs that is none',
      ({ path }) => overwrite(join(path, 'blobs', 'small-blobs.db'), 0, 100),
      ['database'],
    ],
    [
      'a file among the blobs that is none',
      ({ path }) => writeFile(join(path, 'blobs', 'ab', 'notes.txt'), ''),
      ['stranger'],
    ],
    [
      'an orphan that should be gone',
      async (store) => {
        await addOrphan(store)
        changeRows(store, `insert into orphans values ('${orphan}', 1, 1)`)
      },
      ['overdue'],
    ],
    [
      'so many orphans that rows must be lost',
      async (store) => {
        for (let last = 10; last < 22; last += 1)
          await addOrphan(store, `${orphan.slice(0, -2)}${last}`)
      },
      ['many-orphans'],
    ],
  ]

  it.each(faults)('finds %s', async (_, harm, kinds) => {
    await using store = await copyStore(made)
    await harm(store)
    const { code, report, stderr } = await check(store)
    expect(code).toBe(1)
    expect(new Set(report?.faults.map(({ kind }) => kind))).toEqual(new Set(kinds))
    expect(stderr).toMatch(/^coffer: \d+ faults? (is|are) there; .*\n$/)
    const told = await runFake(['fsck', '--data', store.path])
    for (const kind of kinds) expect(told.stdout).toMatch(new RegExp(`^${kind}: .+$`, 'm'))
  })

  it('counts an orphan inside its grace time, and finds nothing wrong with it', async () => {
    await using store = await copyStore(made)
    await addOrphan(store)
    const fresh = await check(store)
    expect(fresh.code).toBe(0)
    expect(fresh.report?.orphans).toEqual({ count: 1, bytes: 15, quarantined: 0 })
    const now = Math.floor(Date.now() / 1000)
    changeRows(store, `insert into orphans values ('${orphan}', ${now - 4000}, ${now - 10})`)
    const again = await check(store)
    expect(again.code).toBe(0)
    expect(again.report?.orphans).toEqual({ count: 1, bytes: 15, quarantined: 1 })
  })

  it('says in one sentence that there is no store', async () => {
    await using folder = await makeFolder()
    const { code, stderr } = await coffer('fsck', '--data', join(folder.path, 'none'))
    expect(code).toBe(1)
    expect(stderr).toMatch(/^coffer: There is no store: .*coffer\.db does not exist\..*\n$/)
  })

  it('finds no fault beside a server under load', async () => {
    await using running = await startCoffer({ env: { COFFER_SWEEP_SECONDS: '1' } })
    const load = startSteadyLoad(running)
    await load.reached(50)
    for (let look = 0; look < 10; look += 1) {
      const { report, code } = await check({ path: running.folder })
      expect(report).toMatchObject({ faults: [], orphans: { count: 0 } })
      expect(code).toBe(0)
    }
    await load.stop()
  })
})

describe.concurrent('coffer fsck --repair', () => {
  it('mends what loses nothing, marks what is lost, and deletes nothing', async () => {
    await using store = await copyStore(made)
    const [gone = '', cut = '', loose = ''] = store.large
    await rm(findBlob(store.path, gone))
    await truncate(findBlob(store.path, cut), 7)
    changeRows(
      store,
      `insert into loose_blobs (blob_id, sweep_after) values ('${blobOf(store, loose)}', 0)`,
    )
    changeRows(store, 'update organizations set used_bytes = 0')
    await addOrphan(store)

    const { code, reports, stderr } = await check(store, '--repair')
    expect(reports.map(({ faults }) => faults.map(({ kind }) => kind).sort())).toEqual([
      ['dangling', 'held-and-loose', 'miscounted', 'mismatching'],
      ['damaged', 'damaged', 'dangling', 'mismatching'],
    ])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^coffer: 4 faults are left that cannot be mended without a loss.*\n$/)
    expect(count(store, 'files')).toBe(6)
    expect(count(store, 'orphans')).toBe(1)

    // Neither the start nor its sweep takes what a file holds.
    await using running = await startCoffer({ folder: store.path })
    expect((await running.fetch(`/v1/files/${loose}/content`)).status).toBe(200)
    const damaged = await running.fetch(`/v1/files/${gone}`)
    expect(await damaged.json()).toMatchObject({ status: 'error' })
  })

  it('leaves nothing wrong where all could be mended', async () => {
    await using store = await copyStore(made)
    changeRows(store, 'update organizations set used_bytes = 5')
    const { code, reports } = await check(store, '--repair')
    expect(reports.map(({ faults }) => faults.length)).toEqual([1, 0])
    expect(code).toBe(0)
  })

  it('takes the mark from a file whose bytes were put back, and leaves it on another', async () => {
    await using store = await copyStore(made)
    const [back = '', gone = ''] = store.large
    const blob = findBlob(store.path, back)
    const content = await readFile(blob)
    await rm(blob)
    await truncate(findBlob(store.path, gone), 1)
    await check(store, '--repair')
    await writeFile(blob, content)
    const { reports } = await check(store, '--repair')
    expect(reports.at(0)?.faults).toHaveLength(3)
    expect(reports.at(1)?.faults).toMatchObject([
      { kind: 'damaged', file: gone },
      { kind: 'mismatching', file: gone },
    ])
    // The right number of bytes is not enough.
    changeRows(store, `update files set damaged_at = 1 where id = '${back}'`)
    await overwrite(blob, 5, 5)
    expect((await check(store, '--repair')).report?.faults).toMatchObject([
      { kind: 'damaged', file: back },
      { kind: 'damaged', file: gone },
      { kind: 'mismatching', file: gone },
    ])
  })

  it('marks nothing where the volume of the bytes is not mounted', async () => {
    await using store = await copyStore(made)
    await rm(join(store.path, 'blobs'), { recursive: true })
    await mkdir(join(store.path, 'blobs'))
    const { code, reports, stderr } = await check(store, '--repair')
    expect({ code, reports: reports.length }).toEqual({ code: 1, reports: 1 })
    expect(stderr).toMatch(/^coffer: Nothing was mended: .*\n$/)
    expect((await check(store)).report?.faults.filter(({ kind }) => kind === 'damaged')).toEqual([])
  })

  it('refuses in one sentence while a server runs, and changes nothing', async () => {
    await using running = await startCoffer()
    const { code, stdout, stderr } = await coffer('fsck', '--repair', '--data', running.folder)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(`coffer: The folder ${running.folder} is in use by another Coffer.\n`)
  })
})

function count({ path }: MadeStore, table: 'files' | 'orphans'): number {
  using database = new DatabaseSync(join(path, 'coffer.db'), { readOnly: true })
  return Number(database.prepare(`select count(*) as n from ${table}`).get()?.['n'])
}
