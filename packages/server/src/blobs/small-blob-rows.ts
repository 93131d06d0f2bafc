/** Look-ups in the database of small blobs, for the server and for the tools beside it. */

import type { SqliteConnection } from '../sqlite/connection.ts'
import type { ByteRange } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'

export interface SmallBlobRow {
  readonly id: string
  readonly bytes: number
}

export interface SmallBlobRows {
  /** The content, in a buffer of its own. */
  find(id: string): Uint8Array | undefined
  size(id: string): number | undefined
  /** Those whose ids begin with `prefix`. */
  list(prefix: string): SmallBlobRow[]
}

export function createSmallBlobRows({ prepare }: SqliteConnection): SmallBlobRows {
  const selectContent = prepare('select content from blobs where id = ?')
  // Of a blob, SQLite knows the length without reading it.
  const selectSize = prepare('select length(content) as bytes from blobs where id = ?')
  const selectSizes = prepare(
    'select id, length(content) as bytes from blobs where id >= ? and id < ?',
  )

  return {
    find(id) {
      const content = selectContent.get(id)?.['content']
      return content instanceof Uint8Array ? content : undefined
    },
    size(id) {
      const bytes = selectSize.get(id)?.['bytes']
      return typeof bytes === 'number' ? bytes : undefined
    },
    list(prefix) {
      const rows = selectSizes.all(prefix, `${prefix}~`)
      return rows.map(({ id, bytes }) => ({ id: String(id), bytes: Number(bytes) }))
    },
  }
}

/** The bytes of `range` of a small blob. @throws BlobError `damaged` if it is too short. */
export function* readSmallBlob(
  id: string,
  content: Uint8Array,
  { start, end }: ByteRange,
): Generator<Uint8Array> {
  if (end > content.length) {
    throw new BlobError('damaged', `Blob ${id} ends at byte ${content.length}.`)
  }
  if (start < end) yield content.slice(start, end)
}
