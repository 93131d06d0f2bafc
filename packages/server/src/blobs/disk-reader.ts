/**
 * The folder of a disk driver as a tool sees it: only to look, beside the server that writes to it
 * or without one. Nothing is made, and nothing is cleared.
 */

import { existsSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openSqliteConnection } from '../sqlite/connection.ts'
import type { BlobDriver } from './blob-driver.ts'
import { blobPath, isSystemError, readBlobFile, readMark } from './blob-file.ts'
import { smallBlobsName } from './disk-layout.ts'
import { createSmallBlobRows, readSmallBlob, type SmallBlobRow } from './small-blob-rows.ts'

/** Asked for at once, as much of their time goes by in waiting. */
const looksAtOnce = 64

export type StoredBlob = SmallBlobRow

export interface DiskReader extends Disposable, Pick<BlobDriver, 'read' | 'readMark'> {
  /** How many bytes a blob has; undefined if there is none. */
  size(id: string): Promise<number | undefined>
  /** The content of a blob that has no file of its own; undefined if it has, or is not there. */
  findSmall(id: string): Uint8Array | undefined
  /** All blobs that begin with `prefix`, two hexadecimal digits, and whatever stands beside them. */
  list(prefix: string): Promise<StoredBlob[]>
}

/** Opens the folder `root`, of which all may be missing. */
export function openDiskReader(root: string): DiskReader {
  const path = join(root, smallBlobsName)
  const small = existsSync(path) ? openSmall(path) : undefined

  async function sizeOfFile(file: string): Promise<number | undefined> {
    try {
      const facts = await lstat(file)
      return facts.isFile() ? facts.size : undefined
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined
      throw error
    }
  }

  async function listFiles(prefix: string): Promise<StoredBlob[]> {
    const names = await readdir(join(root, prefix)).catch((error: unknown) => {
      if (isSystemError(error, 'ENOENT')) return []
      throw error
    })
    const found: StoredBlob[] = []
    for (let at = 0; at < names.length; at += looksAtOnce) {
      const part = names.slice(at, at + looksAtOnce)
      const sizes = await Promise.all(part.map((name) => sizeOfFile(join(root, prefix, name))))
      part.forEach((id, index) => {
        const bytes = sizes[index]
        // What was removed since the folder was read.
        if (bytes !== undefined) found.push({ id, bytes })
      })
    }
    return found
  }

  return {
    async size(id) {
      return small?.size(id) ?? sizeOfFile(blobPath(root, id))
    },
    findSmall: (id) => small?.find(id),
    async list(prefix) {
      return [...(small?.list(prefix) ?? []), ...(await listFiles(prefix))]
    },
    async *read(id, range) {
      const content = small?.find(id)
      if (content === undefined) yield* readBlobFile(root, id, range)
      else yield* readSmallBlob(id, content, range)
    },
    readMark: () => readMark(root),
    [Symbol.dispose]() {
      small?.close()
    },
  }
}

function openSmall(path: string) {
  const connection = openSqliteConnection(path, { readOnly: true })
  return { ...createSmallBlobRows(connection), close: () => connection[Symbol.dispose]() }
}
