/**
 * Moves a store to another pair of stores while servers run on it: all bytes, then, of one moment, the bytes that have
 * come since and the rows. It can be run again, and copies what is missing.
 */

import { carryRows, compareRows, type Difference } from '../metadata/carry-rows.ts'
import { insertTakenBlobs } from '../metadata/files.ts'
import { countHeld, type KnownHeldBlob, listBlobsOf } from '../metadata/held-blobs.ts'
import { isHeldBlob } from '../metadata/inspection.ts'
import { findStore, type StoreMark } from '../metadata/store-mark.ts'
import type { Database } from '../metadata/tables.ts'
import { claimTarget } from './claim-target.ts'
import { copyBlobs } from './copy-blobs.ts'
import { checkMarks } from './inspect.ts'
import type { MigrationSource, MigrationTarget } from './migration-ends.ts'

export type MigrationStep = 'bytes' | 'newest bytes' | 'rows' | 'comparison'

export interface MigrateOptions {
  readonly signal: AbortSignal
  /** Whether bytes that an earlier run has copied are read again, and copied again where they are damaged. */
  readonly verify: boolean
  /** Called as a step begins; told how much of how much is done, in rows or bytes. */
  readonly begin?: (step: MigrationStep) => (done: number, total: number) => void
}

export interface LostBlob {
  /** The id of a file, or of an Upload that is pending. */
  readonly holder: string
  /** What is wrong with its bytes, as a part of a sentence. */
  readonly what: string
}

export interface Migrated {
  readonly files: number
  readonly bytes: number
  /** Bytes that were copied now. */
  readonly copied: number
  /** What the source has now, and what it had. */
  readonly since: Difference
  /** Those whose bytes the source lacks, and so the target. */
  readonly lost: readonly LostBlob[]
}

/** @throws Error with a sentence where it cannot be done, or not go on: what is copied stays for the next run. */
export async function migrate(
  source: MigrationSource,
  target: MigrationTarget,
  options: MigrateOptions,
): Promise<Migrated> {
  const { signal, verify, begin = () => () => {} } = options
  const mark = await claimTarget(target, await requireStore(source))
  const lost = new Map<string, string>()
  let copied = 0

  async function copyHeld(
    db: Database,
    step: MigrationStep,
    { gone, spare, verify = false }: CopyHeld,
  ): Promise<void> {
    lost.clear()
    const moved = begin(step)
    const { files, bytes: total } = await countHeld(db)
    let done = 0
    await copyBlobs(db, {
      ...{ from: source.bytes, to: target.blobs, signal, verify },
      ...(spare === undefined ? {} : { spare }),
      has({ bytes }, isCopied) {
        done += bytes
        if (isCopied) copied += bytes
        moved(done, total)
      },
      async lacks(blob, what) {
        if (await isHeldBlob(source.rows.db, blob)) lost.set(blob.holder, what)
        else gone(blob)
      },
    })
    if (lost.size === 0) return
    // It may have gone away meanwhile.
    await requireStore(source)
    if (lost.size > files / 2) {
      throw new Error(
        `Of ${files} files ${lost.size} have no bytes that can be read. Bring the bytes back first.`,
      )
    }
  }

  async function bringUp(rows: Database): Promise<void> {
    const { db } = target.rows
    await db.deleteFrom('loose_blobs').execute()
    // What was deleted behind the moment, before its turn came.
    const gone = new Set<string>()
    await copyHeld(rows, 'newest bytes', {
      gone: ({ holder }) => gone.add(holder),
      spare: (blob_ids) => insertTakenBlobs(db, blob_ids),
    })
    await carryRows(rows, db, { signal, except: gone, moved: begin('rows') })
    for (const holder of gone) await insertTakenBlobs(db, await listBlobsOf(rows, { holder }))
    await db.deleteFrom('store').execute()
    await db
      .insertInto('store')
      .values({ ...mark, restored_at: null, history: null })
      .execute()
  }

  await copyHeld(source.rows.db, 'bytes', { gone() {}, verify })
  await source.rows.atOneMoment((rows) => target.rows.together(() => bringUp(rows)))
  const since = await source.rows.atOneMoment((rows) =>
    compareRows(rows, target.rows.db, { signal, moved: begin('comparison') }),
  )
  const held = await countHeld(target.rows.db)
  return {
    ...{ ...held, copied, since },
    lost: [...lost].map(([holder, what]) => ({ holder, what })),
  }
}

interface CopyHeld {
  /** Told of a blob that nothing holds any more. */
  readonly gone: (blob: KnownHeldBlob) => unknown
  readonly spare?: (blob_ids: readonly string[]) => Promise<void>
  readonly verify?: boolean
}

/** @throws if rows and bytes do not belong together: without their volume all would look lost. */
async function requireStore({ rows, bytes }: MigrationSource): Promise<StoreMark> {
  for (const { message } of await checkMarks(rows.db, bytes)) throw new Error(`--from: ${message}`)
  const { store } = await findStore(rows.db)
  if (store !== undefined) return store
  throw new Error('--from: The rows are of no store yet. Start the server once: coffer serve.')
}
