/**
 * Holds rows and bytes together: both carry the mark of one store. Without it, a volume that is not
 * mounted or a wrong folder would look like a store whose files are all lost.
 */

import { z } from 'zod'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { StoreMark, StoreRow } from '../metadata/store-mark.ts'
import { stagingSeconds } from './blob-ids.ts'
import type { Clock } from './clock.ts'
import type { Ids } from './ids.ts'
import type { Log } from './log.ts'

/** Seconds after a restored backup in which nothing is removed that newer rows may have held. */
const restoredSeconds = 7 * 24 * 3600

const Mark = z.object({
  format: z.literal(1, 'it was written by a newer Coffer'),
  id: z.string(),
  generation: z.int(),
})

export interface StoreBinding {
  /** Whether the rows are older than bytes that may belong to newer ones. */
  isRestored(): boolean
  /** Counts the generation up, so that an older copy of the rows is told from these. */
  advance(): Promise<void>
  /** Rejects if the bytes are not those of this store any more. */
  check(): Promise<void>
}

export interface StoreBindingNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
}

/**
 * Only for a process that has both stores for itself and begins.
 *
 * @throws if the two do not belong together, with what to do.
 */
export async function bindStores(needs: StoreBindingNeeds): Promise<StoreBinding> {
  const { metadata, blobs, clock, ids, log } = needs
  const now = clock.now()
  const { store, has_files } = await metadata.findStore()
  const mark = readMark(await blobs.readMark())
  requireSame(store, mark, has_files)

  const id = store?.id ?? mark?.id ?? ids.store()
  // A mark of generation 0 says that the rows do not have theirs yet.
  if (mark === undefined) await blobs.writeMark(formatMark({ id, generation: 0 }))
  let restored_at = store?.restored_at ?? null
  if (store !== undefined && mark !== undefined) {
    if (mark.generation > store.generation) {
      restored_at = now
      log.warn(
        { generation: store.generation, bytes: mark.generation },
        'the rows are older than the bytes: no bytes without a row are removed for seven days',
      )
    }
    if (store.generation > mark.generation + 1) {
      log.warn(
        { generation: store.generation, bytes: mark.generation },
        'the bytes are older than the rows: some may be missing; coffer fsck tells',
      )
    }
  }
  let generation = Math.max(store?.generation ?? 0, mark?.generation ?? 0)

  // The rows go first: bytes that are ahead mean that the rows were replaced by older ones.
  async function advance(): Promise<void> {
    generation += 1
    await metadata.setStore({ id, generation, restored_at })
    await blobs.writeMark(formatMark({ id, generation }))
  }
  const restoredUntil = (restored_at ?? Number.NEGATIVE_INFINITY) + restoredSeconds
  // Before it is written that the rows were restored: a start that ends in between begins again.
  if (restored_at === now) await metadata.postponeLooseBlobs({ until: restoredUntil })
  await advance()
  // This process has the store for itself, so whoever was writing these blobs is gone. Those that
  // newer rows may have held are not touched before their time.
  const isKept = now < restoredUntil
  const before = now + stagingSeconds
  await metadata.abandonLooseBlobs({
    before: isKept ? Math.min(before, restoredUntil - 1) : before,
  })

  return {
    isRestored: () => clock.now() < restoredUntil,
    advance,
    async check() {
      const found = readMark(await blobs.readMark())
      if (found?.id !== id) throw new Error('The bytes are not those of this store any more.')
    },
  }
}

function requireSame(
  store: StoreRow | undefined,
  mark: StoreMark | undefined,
  hasFiles: boolean,
): void {
  if (store !== undefined && mark !== undefined && store.id !== mark.id) {
    throw new Error(
      `The rows belong to the store ${store.id}, and the bytes to the store ${mark.id}. ` +
        'Check COFFER_METADATA_URL and COFFER_BLOBS_URL.',
    )
  }
  if (store === undefined && mark !== undefined && mark.generation > 0) {
    throw new Error(
      `The bytes belong to the store ${mark.id}, and the database is new. Is the right one ` +
        'mounted? To begin anew, empty the folder of bytes, too.',
    )
  }
  if (store !== undefined && mark === undefined && hasFiles) {
    throw new Error(
      `The database knows files of the store ${store.id}, and there is no mark of it beside the ` +
        'bytes. Is the volume with the bytes mounted?',
    )
  }
}

/** @throws if what stands beside the bytes is no mark. */
export function readMark(text: string | undefined): StoreMark | undefined {
  if (text === undefined) return undefined
  try {
    return Mark.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error('The mark of the store beside the bytes (STORE) cannot be read.', { cause })
  }
}

export function formatMark(mark: StoreMark): string {
  return `${JSON.stringify({ format: 1, ...mark })}\n`
}
