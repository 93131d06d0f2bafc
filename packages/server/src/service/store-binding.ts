/**
 * Holds rows and bytes together: both carry the mark of one store. Without it, a volume that is not
 * mounted or a wrong folder would look like a store whose files are all lost.
 */

import { z } from 'zod'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { StoreMark, StoreRow } from '../metadata/store-mark.ts'
import type { Clock } from './clock.ts'
import type { Ids } from './ids.ts'
import type { Log } from './log.ts'

/** Seconds between the clocks of this machine and of the database, which decide what has expired. */
const toleratedSeconds = 5

/** Seconds after a restored backup in which nothing is removed that newer rows may have held. */
const restoredSeconds = 7 * 24 * 3600

const Mark = z.object({
  format: z.literal(1, 'it was written by a newer Coffer'),
  id: z.string(),
  generation: z.int(),
  /** Until a server has run on them, of stores that `coffer migrate` makes. */
  migration: z.literal(true).optional(),
})

/** What stands beside the bytes. */
export type BytesMark = z.infer<typeof Mark>

export interface StoreBinding {
  /** Whether the rows are older than bytes that may belong to newer ones. */
  isRestored(): boolean
  /** What the sweep goes by, as of the last look. */
  state(): { readonly restored_before: number; readonly history: string | null }
  /**
   * Looks whether the rows were replaced by older ones, as after a fail-over: before anything is removed.
   *
   * @throws if rows and bytes are not both of this store any more.
   */
  look(): Promise<void>
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

/** @throws if the two do not belong together, with what to do. */
export async function bindStores(needs: StoreBindingNeeds): Promise<StoreBinding> {
  const { metadata, blobs, clock, log } = needs
  const { id } = await claim(needs)
  let restored_at: number | null = null
  let history: string | null = null
  let told: string | null = null
  /** The highest generation of rows that was seen. */
  let known = 0

  async function look(): Promise<void> {
    // The mark first, as its generation is never ahead of rows that are read later.
    const mark = readMark(await blobs.readMark())
    const asked = clock.now()
    const found = await metadata.findStore()
    requireSameTime(found.time, { asked, answered: clock.now(), clock })
    const { store } = found
    if (mark?.id !== id || store?.id !== id) {
      throw new Error('The rows and the bytes are not both those of this store any more.')
    }
    told = found.history
    history = told ?? store.history
    known = Math.max(known, store.generation)
    restored_at = store.restored_at
    const isElsewhere = store.history !== null && store.history !== history
    if (mark.generation > store.generation || isElsewhere) {
      restored_at = clock.now()
      log.warn(
        {
          ...{ generation: store.generation, bytes: mark.generation },
          ...{ history, before: store.history },
        },
        'the rows are older than the bytes: no bytes without a row are removed for seven days',
      )
      await metadata.noteRestored({ now: restored_at })
      known = 0
      await advance(mark.generation)
    }
  }

  /** The rows go first: bytes that are ahead mean that the rows were replaced by older ones. */
  async function advance(above = 0): Promise<void> {
    const counted = await metadata.advanceStore({ above, known, history })
    // The next look finds out what has happened.
    if (counted === 'older') return
    let generation = counted
    for (;;) {
      known = generation
      await blobs.writeMark(formatMark({ id, generation }))
      // Another server may have counted on, and have written its mark before this one.
      const { store } = await metadata.findStore()
      if (store === undefined || store.generation <= generation) return
      generation = store.generation
    }
  }

  await look()
  await advance()
  return {
    isRestored: () => clock.now() < (restored_at ?? Number.NEGATIVE_INFINITY) + restoredSeconds,
    state: () => ({ restored_before: clock.now() - restoredSeconds, history: told }),
    look,
    advance: () => advance(),
    async check() {
      const found = readMark(await blobs.readMark())
      if (found?.id !== id) throw new Error('The bytes are not those of this store any more.')
    },
  }
}

/** Finds out which store the two are, or makes them one; the rows first, of which only one server can. */
async function claim({ metadata, blobs, ids, log }: StoreBindingNeeds): Promise<StoreMark> {
  const mark = readMark(await blobs.readMark())
  const { store, has_files, history } = await metadata.findStore()
  requireSame(store, mark, has_files)
  if (store !== undefined && mark !== undefined && store.generation > mark.generation + 1) {
    log.warn(
      { generation: store.generation, bytes: mark.generation },
      'the bytes are older than the rows: some may be missing; coffer fsck tells',
    )
  }
  const claimed = await metadata.claimStore({ id: mark?.id ?? ids.store(), history })
  if (mark === undefined) await blobs.writeMark(formatMark({ id: claimed.id, generation: 0 }))
  return claimed
}

/**
 * A server whose clock is ahead would delete on all servers what has not expired yet. A clock that was given is
 * right by itself.
 */
function requireSameTime(
  time: number | null,
  { asked, answered, clock }: { asked: number; answered: number; clock: Clock },
): void {
  if (time === null || clock.isOfMachine !== true) return
  const seconds = time < asked ? asked - time : time - answered
  if (seconds <= toleratedSeconds) return
  throw new Error(
    `The clock of this machine is ${seconds} seconds ${time < asked ? 'ahead of' : 'behind'} that of the ` +
      'database. Set both by NTP: they decide what has expired.',
  )
}

function requireSame(
  store: StoreRow | undefined,
  mark: BytesMark | undefined,
  hasFiles: boolean,
): void {
  if (store === undefined && mark?.migration === true) {
    throw new Error(
      `These stores are to become the store ${mark.id}, and coffer migrate has not come to its end. ` +
        'Run it again: it goes on where it was.',
    )
  }
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
export function readMark(text: string | undefined): BytesMark | undefined {
  if (text === undefined) return undefined
  try {
    return Mark.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error('The mark of the store beside the bytes (STORE) cannot be read.', { cause })
  }
}

export function formatMark(mark: Omit<BytesMark, 'format'>): string {
  return `${JSON.stringify({ format: 1, ...mark })}\n`
}
