/** Copies all blobs that rows hold to another store, but those that it has already. */

import { createHash } from 'node:crypto'
import { BlobError } from '../blobs/blob-error.ts'
import type { BlobReader } from '../blobs/blob-reader.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import { checkBlocks } from '../blobs/block-sums.ts'
import { prefixes } from '../blobs/disk-layout.ts'
import { type KnownHeldBlob, walkHeldBlobs } from '../metadata/held-blobs.ts'
import type { Database } from '../metadata/tables.ts'
import { whatIsDamaged } from './find-damage.ts'
import { createLanes } from './lanes.ts'

const MiB = 1024 * 1024

/** What is listed ahead, as most of the time of a list goes by in waiting. */
const listedAhead = 8

/** Of what is copied at the same time: four large blobs, which fill any line, or 64 small ones, which wait. */
const width = 64
const weights = { small: 1, large: 16 }

export interface CopyBlobsOptions {
  readonly from: BlobReader
  readonly to: BlobStore
  readonly signal: AbortSignal
  /** Whether what is there already is read, and copied again where it is not as it was stored. */
  readonly verify: boolean
  /** Told of each blob that is there now, and whether it was copied. */
  readonly has: (blob: KnownHeldBlob, isCopied: boolean) => void
  /** Told of each blob that cannot be read as it was stored, with a sentence, before the next step. */
  readonly lacks: (blob: KnownHeldBlob, what: string) => Promise<void>
  /** Told of the blobs that are there and that no row holds. */
  readonly spare?: (blob_ids: readonly string[]) => Promise<void>
}

/** @throws if one of the two stores fails; what is copied until then is there. */
export async function copyBlobs(db: Database, options: CopyBlobsOptions): Promise<void> {
  const { to, signal, verify, has, lacks, spare } = options
  const lanes = createLanes(width)

  async function copyNew(blob: KnownHeldBlob): Promise<void> {
    try {
      const wrong = await copyOne(blob, options)
      if (wrong === undefined) has(blob, true)
      else await lacks(blob, wrong)
    } catch (error) {
      // What a run was sending when it was killed may land behind the list.
      if (!(error instanceof BlobError) || error.code !== 'exists') throw error
      await look(blob)
    }
  }

  async function look(blob: KnownHeldBlob): Promise<void> {
    if (await isSound(to, blob, signal)) {
      has(blob, false)
      return
    }
    await to.delete(blob.blob_id)
    await copyNew(blob)
  }

  try {
    for await (const { prefix, ids } of listAhead(to, signal)) {
      for await (const blob of walkHeldBlobs(db, { prefix })) {
        signal.throwIfAborted()
        const isThere = ids.delete(blob.blob_id)
        const weight = blob.bytes < MiB ? weights.small : weights.large
        if (!isThere) await lanes.begin(weight, () => copyNew(blob))
        else if (verify) await lanes.begin(weight, () => look(blob))
        else has(blob, false)
      }
      if (ids.size > 0) await spare?.([...ids])
    }
  } finally {
    // Whatever ended the walk, nothing is left under way.
    await lanes.end()
  }
}

interface Listed {
  readonly prefix: string
  readonly ids: Set<string>
}

/** What a store has, by what the ids begin with. */
async function* listAhead(to: BlobStore, signal: AbortSignal): AsyncGenerator<Listed> {
  const ahead: Promise<Listed>[] = []
  for (const prefix of prefixes) {
    signal.throwIfAborted()
    const listing = list(to, prefix)
    // It is told of when its turn comes, if ever.
    listing.catch(() => {})
    ahead.push(listing)
    const [first] = ahead
    if (ahead.length < listedAhead || first === undefined) continue
    ahead.shift()
    yield await first
  }
  for (const listing of ahead) yield await listing
}

async function list(to: BlobStore, prefix: string): Promise<Listed> {
  return { prefix, ids: new Set(await Array.fromAsync(to.list(prefix))) }
}

const otherContent = 'its content is not what was stored'

/** A blob is not as it was stored. */
class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

/** One of the two stores fails, which the message names. */
class CopyFailed extends Error {
  override readonly name = 'CopyFailed'
}

/** @returns what is wrong with the blob; undefined if it is copied. */
async function copyOne(
  blob: KnownHeldBlob,
  { from, to, signal }: CopyBlobsOptions,
): Promise<string | undefined> {
  const { blob_id, bytes, checksums, sha256 } = blob
  try {
    const source = readSound(from, blob, signal)
    const taken = await to.write(blob_id, source, { maxBytes: bytes })
    const isSame = sha256 === '' || taken.sha256 === sha256
    if (isSame && (checksums.length === 0 || Buffer.compare(taken.checksums, checksums) === 0)) {
      return undefined
    }
    await to.delete(blob_id)
    return otherContent
  } catch (error) {
    if (error instanceof Unreadable) return error.message
    throw asFailure(error, `--to: The bytes of ${blob.holder} cannot be written`, signal)
  }
}

/** With what helps, which is to try again; what says it all already is left as it is. */
function asFailure(error: unknown, what: string, signal: AbortSignal): unknown {
  const isSaid = error instanceof CopyFailed || signal.aborted
  if (isSaid || (error instanceof BlobError && error.code === 'exists')) return error
  const cause = error instanceof BlobError ? (error.cause ?? error) : error
  const reason = cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause)
  return new CopyFailed(`${what}: ${reason}. Run it again to go on.`, { cause: error })
}

/** @throws Unreadable where what was read last is not as it was stored, before the end of all. */
async function* readSound(
  from: BlobReader,
  blob: KnownHeldBlob,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    const pieces = from.read(blob.blob_id, { start: 0, end: blob.bytes })
    for await (const piece of readChecked(pieces, blob)) {
      signal.throwIfAborted()
      yield piece
    }
  } catch (error) {
    const what = whatIsDamaged(error)
    if (what !== undefined) throw new Unreadable(what, { cause: error })
    throw asFailure(error, `--from: The bytes of ${blob.holder} cannot be read`, signal)
  }
}

/** Holds pieces against the strongest that is known: the sums of blocks, as they pass, or the digest of all. */
async function* readChecked(
  pieces: AsyncIterable<Uint8Array>,
  { blob_id: id, checksums: sums, sha256 }: KnownHeldBlob,
): AsyncGenerator<Uint8Array> {
  if (sums.length > 0) {
    yield* checkBlocks(pieces, { id, sums, first: 0 })
    return
  }
  const digest = createHash('sha256')
  for await (const piece of pieces) {
    digest.update(piece)
    yield piece
  }
  if (sha256 === '' || digest.digest('hex') === sha256) return
  throw new BlobError('damaged', otherContent)
}

async function isSound(to: BlobStore, blob: KnownHeldBlob, signal: AbortSignal): Promise<boolean> {
  const { blob_id: id, bytes } = blob
  // The store would hold them against the same sums.
  const pieces = to.read({ id, bytes, checksums: new Uint8Array() }, { start: 0, end: bytes })
  try {
    for await (const _ of readChecked(pieces, blob)) signal.throwIfAborted()
    return true
  } catch (error) {
    if (error instanceof BlobError && ['not-found', 'damaged'].includes(error.code)) return false
    throw error
  }
}
