/** SQLite and a disk, which a server uses unless it is told otherwise: all in one folder. */

import type { Dirent } from 'node:fs'
import { mkdtemp, open, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestStores } from './test-stores.ts'

export interface DiskStores extends TestStores {
  readonly folder: string
}

export async function makeDiskStores(): Promise<DiskStores> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-test-'))
  const root = join(folder, 'blobs')
  const pathOf = (id: string) => join(root, id.slice(0, 2), id)
  // The mark of the store is written anew at times, as a draft first.
  const isBlob = (entry: Dirent) =>
    entry.isFile() && entry.parentPath !== root && entry.name !== 'STORE'

  return {
    folder,
    settings: { COFFER_DATA: folder },
    async query<Row>(sql: string, ...values: (string | number)[]) {
      using database = new DatabaseSync(join(folder, 'coffer.db'), { timeout: 5000 })
      return database.prepare(sql).all(...values) as Row[]
    },
    async listBlobs() {
      const entries = await readdir(root, { recursive: true, withFileTypes: true })
      using database = new DatabaseSync(join(root, 'small-blobs.db'), { timeout: 5000 })
      const small = database.prepare('select id as name from blobs').all() as { name: string }[]
      return [...entries.filter(isBlob), ...small].map(({ name }) => name).sort()
    },
    async replaceBlob(id, content) {
      await using file = await open(pathOf(id), 'r+')
      await file.truncate()
      await file.writeFile(content)
    },
    removeBlob: (id) => rm(pathOf(id)),
    loseBlobs: () => rm(root, { recursive: true }),
    async timesRead(id) {
      const descriptors = await readdir('/proc/self/fd')
      const paths = descriptors.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ''))
      // One that was deleted is open under its former name.
      const read = [pathOf(id), `${pathOf(id)} (deleted)`]
      return (await Promise.all(paths)).filter((path) => read.includes(path)).length
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
