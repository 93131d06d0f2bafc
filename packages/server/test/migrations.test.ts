import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import { File, Upload, UploadPart } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { createBlobStore } from '../src/blobs/blob-store.ts'
import { openDiskDriver } from '../src/blobs/disk.ts'
import { formatMark } from '../src/service/store-binding.ts'
import { type DiskStores, makeDiskStores } from './disk-stores.ts'
import { onDisk } from './make-stores.ts'
import { startServer } from './start-server.ts'
import { until } from './until.ts'

const KiB = 1024
const folder = new URL('../migrations/sqlite-metadata/', import.meta.url)

/** Of which blobs its content is, as the old schema could have it; and when it was written. */
const oldFiles = {
  'in the database of small blobs': { sizes: [3 * KiB], hasChecksums: true },
  'in a file of its own': { sizes: [700 * KiB], hasChecksums: true },
  'empty, of no segments': { sizes: [], hasChecksums: true },
  'of several segments': { sizes: [20 * KiB, 1, 600 * KiB, 16 * KiB], hasChecksums: true },
  'from before there were checksums': { sizes: [300 * KiB, 5], hasChecksums: false },
}

interface OldFile {
  readonly title: string
  readonly id: string
  readonly content: Buffer
  readonly blobs: readonly string[]
}

interface OldStore extends AsyncDisposable {
  readonly stores: DiskStores
  readonly files: readonly OldFile[]
  /** Of all files. */
  readonly usedBytes: number
}

/** A data folder as the Coffer left it whose last migration was 0003. */
async function makeOldStore(): Promise<OldStore> {
  const stores = await makeDiskStores()
  using database = new DatabaseSync(join(stores.folder, 'coffer.db'))
  database.exec('pragma journal_mode = wal')
  for (const name of (await readdir(folder)).sort().slice(0, 3)) {
    database.exec(await readFile(new URL(name, folder), 'utf8'))
  }
  database.exec(`pragma user_version = 3;
    insert into organizations values ('org-old', 'Default', 0, 1);
    insert into projects values ('proj_old', 'org-old', 'Default', 1);
    insert into store values ('store_old', 1, null)`)

  const blobs = createBlobStore(await openDiskDriver(join(stores.folder, 'blobs')))
  await blobs.writeMark(formatMark({ id: 'store_old', generation: 1 }))
  const files: OldFile[] = []
  for (const [title, { sizes, hasChecksums }] of Object.entries(oldFiles)) {
    const contents = sizes.map((size) => randomBytes(size))
    const content = Buffer.concat(contents)
    const file = { title, id: `file-${files.length}`, content, blobs: [] as string[] }
    const sha256 = createHash('sha256').update(content).digest('hex')
    database
      .prepare(
        `insert into files (id, organization_id, project_id, purpose, filename, bytes, sha256,
           encoding, created_at) values (?, 'org-old', 'proj_old', 'user_data', ?, ?, ?, 'binary', ?)`,
      )
      .run(file.id, `${title}.bin`, content.length, sha256, 1_700_000_000 + files.length)
    for (const [position, bytes] of contents.entries()) {
      const blob = randomBytes(16).toString('hex')
      const source = Readable.from([Uint8Array.from(bytes)])
      const written = await blobs.write(blob, source, { maxBytes: bytes.length })
      const checksums = hasChecksums ? written.checksums : new Uint8Array()
      database
        .prepare(
          'insert into segments (file_id, position, blob_id, bytes, checksums) values (?, ?, ?, ?, ?)',
        )
        .run(file.id, position, blob, bytes.length, checksums)
      file.blobs.push(blob)
    }
    files.push(file)
  }
  await blobs.close()
  const usedBytes = files.reduce((sum, { content }) => sum + content.length, 0)
  database.prepare('update organizations set used_bytes = ?').run(usedBytes)
  return {
    stores,
    files,
    usedBytes,
    [Symbol.asyncDispose]: () => stores[Symbol.asyncDispose](),
  }
}

// It is about the migrations of SQLite, and a folder that was written by them.
describe.runIf(onDisk)('a data folder from before there were Uploads', () => {
  it('is served as it was, every range byte for byte', async () => {
    await using old = await makeOldStore()
    await using server = await startServer({ stores: old.stores })
    expect((await server.list('order=asc')).data.map(({ id }) => id)).toEqual(
      old.files.map(({ id }) => id),
    )
    for (const { title, id, content } of old.files) {
      const file = File.parse(await (await server.fetch(`/v1/files/${id}`)).json())
      expect(file).toMatchObject({ filename: `${title}.bin`, bytes: content.length })
      // What nobody looked at then is not told.
      expect(file).not.toHaveProperty('mime_type')
      expect(file).not.toHaveProperty('num_lines')
      expect(file).not.toHaveProperty('tokens')
      expect(file.sha256).toBe(createHash('sha256').update(content).digest('hex'))
      const whole = await server.fetch(`/v1/files/${id}/content`)
      expect(Buffer.from(await whole.arrayBuffer()).equals(content), title).toBe(true)
      if (content.length === 0) continue
      for (const start of [0, 1, 20 * KiB - 1, 300 * KiB - 1, content.length - 1]) {
        const end = Math.min(start + 4, content.length - 1)
        if (start > end) continue
        const headers = { range: `bytes=${start}-${end}` }
        const answer = await server.fetch(`/v1/files/${id}/content`, { headers })
        expect(answer.status).toBe(206)
        expect(Buffer.from(await answer.arrayBuffer())).toEqual(content.subarray(start, end + 1))
      }
    }
    expect(await server.usedBytes()).toBe(old.usedBytes)
  })

  it('is brought to the schema of today without a loose end', async () => {
    await using old = await makeOldStore()
    const segments = () => old.stores.query('select * from segments order by file_id, position')
    const before = await segments()
    await using server = await startServer({ stores: old.stores })
    expect(await segments()).toEqual(before)
    const migrations = await readdir(folder)
    expect(await server.query('pragma user_version')).toEqual([{ user_version: migrations.length }])
    expect(await server.query('pragma foreign_key_check')).toEqual([])
    expect(await server.query('pragma integrity_check')).toEqual([{ integrity_check: 'ok' }])
    expect((await server.stored()).blobs).toEqual(old.files.flatMap(({ blobs }) => blobs).sort())
  })

  it('takes new files and Uploads, and gives up old files', async () => {
    await using old = await makeOldStore()
    await using server = await startServer({ stores: old.stores })
    const created = await server.create('new')
    const json = { 'content-type': 'application/json' }
    const post = async (path: string, body: unknown) => {
      const init = { method: 'POST', headers: json, body: JSON.stringify(body) }
      return (await server.fetch(`/v1/uploads${path}`, init)).json()
    }
    const about = { filename: 'a.txt', purpose: 'user_data', mime_type: 'text/plain', bytes: 6 }
    const { id } = Upload.parse(await post('', about))
    const body = new FormData()
    body.set('data', new Blob(['abc']))
    const part = await server.fetch(`/v1/uploads/${id}/parts`, { method: 'POST', body })
    const { id: part_id } = UploadPart.parse(await part.json())
    // One blob in two places, which the old schema could not hold.
    const { file } = Upload.parse(await post(`/${id}/complete`, { part_ids: [part_id, part_id] }))
    const content = await server.fetch(`/v1/files/${file?.id}/content`)
    expect(await content.text()).toBe('abcabc')
    // Newer than all that were there.
    expect((await server.list('limit=2')).data.map((one) => one.id)).toEqual([file?.id, created.id])

    for (const gone of old.files) await server.fetch(`/v1/files/${gone.id}`, { method: 'DELETE' })
    expect(await server.usedBytes()).toBe('new'.length + 'abcabc'.length)
    await until(async () => (await server.stored()).blobs.length === 2)
  })
})
