import { randomBytes } from 'node:crypto'
import { renameSync, rmSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { backUp } from '@coffer/server/tools'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { findBlob, listDisk, listRows } from './data-folder.ts'
import { runFake } from './fake-io.ts'
import { sha256 } from './load.ts'
import {
  blobOf,
  changeRows,
  changeSmallBlobs,
  coffer,
  copyStore,
  type MadeStore,
  makeStore,
} from './made-store.ts'
import { type Coffer, makeFolder, startCoffer } from './start-coffer.ts'
import { startSteadyLoad } from './steady-load.ts'
import { uploadClientOf } from './upload-client.ts'

let made: MadeStore
beforeAll(async () => {
  made = await makeStore()
})
afterAll(async () => made[Symbol.asyncDispose]())

const Manifest = z.object({
  format: z.literal(1),
  store: z.object({ id: z.string(), generation: z.int() }),
  files: z.int(),
  bytes: z.int(),
  created_at: z.iso.datetime(),
})

describe.concurrent('coffer backup, then coffer restore', () => {
  it('keeps every file that was acknowledged before, while others come and go', async () => {
    await using folder = await makeFolder()
    const backup = join(folder.path, 'backup')
    const data = join(folder.path, 'data')
    await using source = await startCoffer({ env: { COFFER_SWEEP_SECONDS: '1' } })
    const load = startSteadyLoad(source)
    await load.reached(150)
    const storedBefore = new Map(load.stored)
    const deletedBefore = [...load.deleted]
    const made = await coffer('backup', '--data', source.folder, '--to', backup)
    // Of a file that somebody asked to delete meanwhile, either is right.
    const due = [...storedBefore].filter(([id]) => load.stored.has(id))
    await load.stop()
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(due.length).toBeGreaterThan(20)

    const restored = await coffer('restore', '--from', backup, '--data', data)
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    expect(await runFake(['fsck', '--data', data])).toMatchObject({ code: 0 })
    const { held, loose } = listRows(data)
    expect(loose).toEqual([])
    expect((await listDisk(data)).blobs).toEqual(held)

    await using target = await startCoffer({ folder: data })
    for (const [id, sum] of due) expect(await readSum(target, id), id).toBe(sum)
    for (const id of deletedBefore) expect(await readSum(target, id), id).toBe(404)
    // No alarm: these rows and bytes belong together.
    expect(target.stderr).not.toMatch(/"level":(40|50)/)
    expect((await target.upload(new Uint8Array(20_000))).status).toBe(200)
  })

  it('tells of itself in a manifest', async () => {
    await using folder = await makeFolder()
    const backup = join(folder.path, 'one', 'backup')
    const { code, stdout } = await runFake(['backup', '--data', made.path, '--to', backup])
    expect(code).toBe(0)
    const manifest = Manifest.parse(
      JSON.parse(await readFile(join(backup, 'manifest.json'), 'utf8')),
    )
    expect(manifest).toMatchObject({ files: 6, bytes: 6 * 1024 + 3 * 300 * 1024 })
    expect(stdout).toBe(`${backup}: 6 files, 906 KiB, as of ${manifest.created_at}\n`)
    expect(await readdir(join(folder.path, 'one'))).toEqual(['backup'])
  })

  it('leaves out the files that are deleted between the copy of the rows and that of the bytes', async () => {
    await using store = await makeStore({ large: 10, small: 10 })
    await using folder = await makeFolder()
    const all = [...store.large, ...store.small].map((id) => ({ id, blob: blobOf(store, id) }))
    // Blobs are copied in the order of their ids, those of one prefix together.
    const first = all.map(({ blob }) => blob.slice(0, 2)).reduce((a, b) => (a < b ? a : b))
    const stay = all.filter(({ blob }) => blob.startsWith(first)).map(({ blob }) => blob)
    const backup = join(folder.path, 'backup')
    let copied = 0
    const { manifest, deletedMeanwhile } = await backUp(placesOf(store), backup, {
      signal: new AbortController().signal,
      moved() {
        copied += 1
        if (copied > 1) return
        for (const { id, blob } of all) if (!stay.includes(blob)) deleteNow(store, id, blob)
      },
    })
    const left = stay.length
    expect({ files: manifest.files, deletedMeanwhile }).toEqual({
      ...{ files: left, deletedMeanwhile: 20 - left },
    })
    expect(listRows(backup).held).toEqual(stay.toSorted())
    expect(await runFake(['fsck', '--data', backup])).toMatchObject({ code: 0 })
    expect(await runFake(['fsck', '--data', store.path])).toMatchObject({ code: 0 })
  })

  it('has nothing of what was deleted, nor of uploads that were under way', async () => {
    await using store = await copyStore(made)
    await using folder = await makeFolder()
    const [gone = ''] = store.large
    const blob = findBlob(store.path, gone)
    changeRows(
      store,
      `insert into loose_blobs (blob_id, sweep_after) select blob_id, 0 from segments where file_id = '${gone}'`,
    )
    changeRows(store, `delete from segments where file_id = '${gone}'`)
    changeRows(store, `delete from files where id = '${gone}'`)
    changeRows(store, 'update organizations set used_bytes = used_bytes - 300 * 1024')
    const backup = join(folder.path, 'backup')
    expect(await runFake(['backup', '--data', store.path, '--to', backup])).toMatchObject({
      code: 0,
    })
    const files = await readdir(backup, { recursive: true })
    expect(files.filter((path) => path.endsWith(blob.slice(-32)))).toEqual([])
    const { held } = listRows(backup)
    expect(held).toHaveLength(5)
    expect((await listDisk(backup)).blobs).toEqual(held)
  })
})

describe.concurrent('coffer backup, then coffer restore, of Uploads', () => {
  const KiB = 1024
  const quota = 4 * KiB * KiB
  const env = { COFFER_ORGANIZATION_QUOTA_BYTES: String(quota) }
  // Two in the database of small blobs, three in files of their own, one of several blocks.
  const contents = [20 * KiB, 1, 600 * KiB, 16 * KiB, 17 * KiB].map((bytes) => randomBytes(bytes))

  it('keeps a file of many parts, across every seam', async () => {
    await using folder = await makeFolder()
    await using source = await startCoffer()
    const file = await createInParts(source, contents)
    const data = await backUpAndRestore(source.folder, folder.path)
    await using target = await startCoffer({ folder: data })
    await expectEveryRange(target, file, contents)
  })

  it('keeps a file whose parts repeat', async () => {
    await using folder = await makeFolder()
    await using source = await startCoffer()
    const [large = Buffer.alloc(0), small = Buffer.alloc(0)] = contents
    const repeated = [large, small, large, small, large]
    const file = await createInParts(source, repeated)
    const data = await backUpAndRestore(source.folder, folder.path)
    await using target = await startCoffer({ folder: data })
    await expectEveryRange(target, file, repeated)
  })

  it('has nothing of those that are pending, nor of what they have used', async () => {
    await using folder = await makeFolder()
    await using source = await startCoffer({ env })
    const file = await createInParts(source, contents.slice(0, 2))
    const client = uploadClientOf(source)
    const pending = await client.begin(quota / 2)
    for (const content of contents) await client.send(pending, content)
    const untouched = await client.begin(100)
    const { id: cancelled } = await client.retrieve(await client.begin(100))
    await source.fetch(`/v1/uploads/${cancelled}/cancel`, { method: 'POST' })

    const data = await backUpAndRestore(source.folder, folder.path)
    expect(listRows(data)).toMatchObject({ parts: [], loose: [] })
    expect((await listDisk(data)).blobs).toEqual(listRows(data).held)
    await using target = await startCoffer({ folder: data, env })
    for (const id of [pending, untouched, cancelled]) {
      expect((await target.fetch(`/v1/uploads/${id}`)).status).toBe(404)
    }
    // All that the file leaves of the quota is there to be used, and not a byte more.
    const room = quota - file.bytes
    expect((await target.upload(new Uint8Array(room + 1))).status).toBe(400)
    expect((await target.upload(new Uint8Array(room))).status).toBe(200)
    expect(await client.parts(pending)).toHaveLength(contents.length)
  })
})

describe.concurrent('coffer backup', () => {
  it('refuses a folder that is not empty, and takes one that is', async () => {
    await using folder = await makeFolder()
    const args = ['backup', '--data', made.path, '--to', folder.path]
    expect(await runFake(args)).toMatchObject({ code: 0 })
    expect(await runFake(args)).toMatchObject({
      code: 1,
      stderr: `coffer: ${folder.path} is not empty; give a new folder for each backup.\n`,
    })
  })

  it('leaves out, and names, the files whose bytes are not all there', async () => {
    await using store = await copyStore(made)
    await using folder = await makeFolder()
    const [one = '', other = '', ...others] = store.large
    await rm(findBlob(store.path, one))
    await truncate(findBlob(store.path, other), 5)
    const to = join(folder.path, 'backup')
    const { code, stdout, stderr } = await runFake(['backup', '--data', store.path, '--to', to])
    expect(code).toBe(1)
    expect(stdout).toContain(`${others.length + store.small.length} files, `)
    for (const id of [one, other]) expect(stderr).toContain(`Not in the backup: ${id}: `)
    expect(stderr).toMatch(/^coffer: The backup is made without 2 files: .*$/m)
    expect(await runFake(['fsck', '--data', to])).toMatchObject({ code: 0 })
    const kept = [...others, ...store.small].map((id) => blobOf(store, id))
    expect(listRows(to).held.toSorted()).toEqual(kept.toSorted())
    expect((await listDisk(to)).blobs.toSorted()).toEqual(kept.toSorted())
  })

  it('is not made where most files have no bytes', async () => {
    await using store = await copyStore(made)
    await using folder = await makeFolder()
    await rm(join(store.path, 'blobs', 'small-blobs.db'))
    for (const id of store.large.slice(1)) await rm(findBlob(store.path, id))
    const to = join(folder.path, 'backup')
    expect(await runFake(['backup', '--data', store.path, '--to', to])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: Of \d+ files \d+ have no bytes .* no backup/),
    })
    expect(await readdir(folder.path)).toEqual([])
  })

  it('is not made where the bytes go out of reach meanwhile', async () => {
    await using store = await makeStore({ large: 10, small: 0 })
    await using folder = await makeFolder()
    const to = join(folder.path, 'backup')
    const blobs = join(store.path, 'blobs')
    let copied = 0
    const made = backUp(placesOf(store), to, {
      signal: new AbortController().signal,
      moved() {
        copied += 1
        // Most are copied by then.
        if (copied === 8) renameSync(blobs, `${blobs}-elsewhere`)
      },
    })
    await expect(made).rejects.toThrow('Is their volume mounted?')
    expect(await readdir(folder.path)).toEqual([])
  })

  it('is not made of rows whose bytes are all out of reach', async () => {
    await using store = await copyStore(made)
    await using folder = await makeFolder()
    await rm(join(store.path, 'blobs'), { recursive: true })
    await mkdir(join(store.path, 'blobs'))
    const to = join(folder.path, 'backup')
    expect(await runFake(['backup', '--data', store.path, '--to', to])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Is their volume mounted?'),
    })
    expect(await readdir(folder.path)).toEqual([])
  })

  it('ends with 2 without --to', async () => {
    expect(await runFake(['backup'])).toMatchObject({ code: 2, stdout: '' })
  })
})

describe.concurrent('coffer restore', () => {
  it('refuses a folder that is no backup', async () => {
    await using folder = await makeFolder()
    await using data = await makeFolder()
    const outcome = await runFake(['restore', '--from', folder.path, '--data', data.path])
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(/^coffer: \S+ is no backup of Coffer: \S+ cannot be read\.\n$/)
    expect(await readdir(data.path)).toEqual([])
  })

  it('refuses a data folder that is not empty', async () => {
    await using backup = await makeBackup()
    const { code, stderr } = await runFake(['restore', '--from', backup.path, '--data', made.path])
    expect(code).toBe(1)
    expect(stderr).toBe(`coffer: ${made.path} is not empty; restore to a new folder.\n`)
  })

  it.each([
    [
      'lacks bytes',
      async (backup: string) => rm(findBlob(backup, made.large[0] ?? '')),
      /The backup is damaged: it lacks bytes of file-\w+\./,
    ],
    [
      'has other rows than its manifest says',
      async (backup: string) => changeRows({ path: backup }, `delete from files`),
      /was changed: its rows are not those of its manifest\./,
    ],
    [
      'has a manifest of a format to come',
      async (backup: string) => {
        const path = join(backup, 'manifest.json')
        await writeFile(path, (await readFile(path, 'utf8')).replace('"format": 1', '"format": 2'))
      },
      /is not the manifest of a backup, or one of a newer Coffer/,
    ],
  ])('refuses a backup that %s, and leaves nothing', async (_, harm, sentence) => {
    await using backup = await makeBackup()
    await harm(backup.path)
    await using data = await makeFolder()
    const { code, stderr } = await runFake(['restore', '--from', backup.path, '--data', data.path])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^coffer: .*\n$/)
    expect(stderr).toMatch(sentence)
    expect(await readdir(data.path)).toEqual([])
  })

  it('goes to the folders that a server would be told', async () => {
    await using backup = await makeBackup()
    await using folder = await makeFolder()
    const env = {
      COFFER_METADATA_URL: `sqlite:${join(folder.path, 'rows', 'my.db')}`,
      COFFER_BLOBS_URL: `file:${join(folder.path, 'bytes')}`,
    }
    await mkdir(join(folder.path, 'rows'))
    expect(await runFake(['restore', '--from', backup.path], { env })).toMatchObject({ code: 0 })
    expect(await runFake(['fsck'], { env })).toMatchObject({ code: 0 })
    await using server = await startCoffer({ env })
    const [id = ''] = made.large
    expect(await readSum(server, id)).toBe(sha256(await readFile(findBlob(made.path, id))))
  })
})

/** @returns the data folder that was restored, which has no faults. */
async function backUpAndRestore(source: string, folder: string): Promise<string> {
  const [backup, data] = [join(folder, 'backup'), join(folder, 'data')]
  const done = { code: 0, stderr: '' }
  expect(await coffer('backup', '--data', source, '--to', backup)).toMatchObject(done)
  expect(await coffer('restore', '--from', backup, '--data', data)).toMatchObject(done)
  expect(await runFake(['fsck', '--data', data])).toMatchObject(done)
  return data
}

async function createInParts(server: Coffer, contents: readonly Buffer<ArrayBuffer>[]) {
  const client = uploadClientOf(server)
  const id = await client.begin(Buffer.concat(contents).length)
  const parts = await Promise.all(contents.map((content) => client.send(id, content)))
  return client.complete(
    id,
    parts.map((part) => part.id),
  )
}

/** Asks for the whole file, and for the bytes around every seam of its parts. */
async function expectEveryRange(
  server: Coffer,
  { id }: { id: string },
  contents: readonly Buffer[],
): Promise<void> {
  const whole = Buffer.concat(contents)
  expect((await uploadClientOf(server).download(id)).equals(whole)).toBe(true)
  let seam = 0
  for (const { length } of contents.slice(0, -1)) {
    seam += length
    const [start, end] = [seam - 1, seam + 1]
    const headers = { range: `bytes=${start}-${end}` }
    const answer = await server.fetch(`/v1/files/${id}/content`, { headers })
    expect(answer.status).toBe(206)
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(whole.subarray(start, end + 1))
  }
}

function placesOf({ path }: MadeStore) {
  return { database: join(path, 'coffer.db'), blobs: join(path, 'blobs') }
}

/** As the server does: the row first, then the bytes. */
function deleteNow(store: MadeStore, id: string, blob: string): void {
  changeRows(
    store,
    `begin;
     update organizations set used_bytes =
       used_bytes - (select bytes from files where id = '${id}');
     delete from segments where file_id = '${id}';
     delete from files where id = '${id}';
     commit`,
  )
  changeSmallBlobs(store, `delete from blobs where id = '${blob}'`)
  rmSync(join(store.path, 'blobs', blob.slice(0, 2), blob), { force: true })
}

async function makeBackup() {
  const folder = await makeFolder()
  const { code, stderr } = await runFake(['backup', '--data', made.path, '--to', folder.path])
  expect(code, stderr).toBe(0)
  return folder
}

/** The SHA-256 of the content, or the status that says why there is none. */
async function readSum(server: Coffer, id: string): Promise<string | number> {
  const answer = await server.fetch(`/v1/files/${id}/content`)
  const content = new Uint8Array(await answer.arrayBuffer())
  return answer.status === 200 ? sha256(content) : answer.status
}
