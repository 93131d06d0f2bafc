/** A store that was made once by the real server, and is copied for each test that harms it. */

import { randomBytes } from 'node:crypto'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import { type Folder, makeFolder, type Program, runCoffer, startCoffer } from './start-coffer.ts'

const KiB = 1024
const Id = z.object({ id: z.string() })
const Row = z.object({ blob_id: z.string() })

export interface MadeStore extends Folder {
  /** In files of their own, 300 KiB each: two blocks. */
  readonly large: readonly string[]
  /** In the database of small blobs, 2 KiB each. */
  readonly small: readonly string[]
}

export async function makeStore({ large = 3, small = 3 } = {}): Promise<MadeStore> {
  const folder = await makeFolder()
  await using coffer = await startCoffer({ folder: folder.path })
  async function upload(count: number, bytes: number): Promise<string[]> {
    const ids: string[] = []
    for (let number = 0; number < count; number += 1) {
      const answer = await coffer.upload(randomBytes(bytes))
      ids.push(Id.parse(await answer.json()).id)
    }
    return ids
  }
  const made = {
    ...folder,
    large: await upload(large, 300 * KiB),
    small: await upload(small, 2 * KiB),
  }
  await coffer.stop()
  return made
}

export async function copyStore({ path, large, small }: MadeStore): Promise<MadeStore> {
  const folder = await makeFolder()
  await cp(path, folder.path, { recursive: true })
  return { ...folder, large, small }
}

/** Changes the rows behind the server's back. */
export function changeRows({ path }: Pick<Folder, 'path'>, sql: string): void {
  using database = new DatabaseSync(join(path, 'coffer.db'))
  database.exec(`pragma foreign_keys = off; ${sql}`)
}

export function changeSmallBlobs({ path }: Pick<Folder, 'path'>, sql: string): void {
  using database = new DatabaseSync(join(path, 'blobs', 'small-blobs.db'))
  database.exec(sql)
}

export function blobOf({ path }: Pick<Folder, 'path'>, file: string): string {
  using database = new DatabaseSync(join(path, 'coffer.db'), { readOnly: true })
  const row = database.prepare('select blob_id from segments where file_id = ?').get(file)
  return Row.parse(row).blob_id
}

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the real program to its end. */
export async function coffer(...args: readonly string[]): Promise<Outcome> {
  await using program: Program = runCoffer(args)
  const { code } = await program.ended
  return { code, stdout: program.stdout, stderr: program.stderr }
}
