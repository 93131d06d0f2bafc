/**
 * The rows of a Coffer, as named operations. Each operation is one transaction: all of it or
 * nothing, durable before its promise resolves. It is written once against Kysely, and a store
 * decides where it runs (see decisions/0003-transactions-are-named-operations.md).
 */

import * as files from './files.ts'
import * as looseBlobs from './loose-blobs.ts'
import * as orphans from './orphans.ts'
import * as owners from './owners.ts'
import * as servers from './servers.ts'
import * as storeMark from './store-mark.ts'
import type { Database } from './tables.ts'
import * as uploads from './uploads.ts'

/** Operations that only look: they may run beside a writer and see what was committed. */
export const reads = {
  findFile: files.findFile,
  listSegments: files.listSegments,
  listFiles: files.listFiles,
  findFilePosition: files.findFilePosition,
  findUpload: uploads.findUpload,
  listParts: uploads.listParts,
  hasPart: uploads.hasPart,
  findUsedBytes: owners.findUsedBytes,
  findKeyOwner: owners.findKeyOwner,
  findUnknownBlobs: orphans.findUnknownBlobs,
  findStore: storeMark.findStore,
}

export const writes = {
  addFile: files.addFile,
  markDamagedFile: files.markDamagedFile,
  deleteFile: files.deleteFile,
  deleteExpiredFiles: files.deleteExpiredFiles,
  forgetDeletedFiles: files.forgetDeletedFiles,
  addUpload: uploads.addUpload,
  addPart: uploads.addPart,
  completeUpload: uploads.completeUpload,
  cancelUpload: uploads.cancelUpload,
  expireUploads: uploads.expireUploads,
  forgetUploads: uploads.forgetUploads,
  addLooseBlobs: looseBlobs.addLooseBlobs,
  takeLooseBlob: looseBlobs.takeLooseBlob,
  takeSweepableBlobs: looseBlobs.takeSweepableBlobs,
  forgetLooseBlob: looseBlobs.forgetLooseBlob,
  noteOrphans: orphans.noteOrphans,
  claimStore: storeMark.claimStore,
  advanceStore: storeMark.advanceStore,
  noteRestored: storeMark.noteRestored,
  touchStore: storeMark.touchStore,
  renewServer: servers.renewServer,
  forgetServer: servers.forgetServer,
  ensureOwner: owners.ensureOwner,
  setApiKey: owners.setApiKey,
  addFirstApiKey: owners.addFirstApiKey,
}

const operations = { ...reads, ...writes }

type Operations = typeof operations
export type OperationName = keyof Operations

type Call<Operation> = Operation extends (db: Database, ...args: infer Args) => infer Result
  ? (...args: Args) => Result
  : never

export type MetadataStore = { readonly [Name in OperationName]: Call<Operations[Name]> } & {
  /** Rejects if the store could not answer or commit now. */
  check(): Promise<void>
  /** Waits for what was begun, then lets go of the store. */
  close(): Promise<void>
}

/** Makes a store of two ways to run an operation by its name. */
export function createCalls(
  read: (name: keyof typeof reads, args: unknown[]) => Promise<unknown>,
  write: (name: keyof typeof writes, args: unknown[]) => Promise<unknown>,
): Pick<MetadataStore, OperationName> {
  const calls = [
    ...names(reads).map((name) => [name, (...args: unknown[]) => read(name, args)] as const),
    ...names(writes).map((name) => [name, (...args: unknown[]) => write(name, args)] as const),
  ]
  // The names and the operations behind them come from the same two objects.
  return Object.fromEntries(calls) as unknown as Pick<MetadataStore, OperationName>
}

/** Runs the operation of that name; what `args` hold is known to the caller of the store. */
export async function runOperation(
  db: Database,
  name: OperationName,
  args: readonly unknown[],
): Promise<unknown> {
  const operation = operations[name] as (db: Database, ...args: readonly unknown[]) => unknown
  return operation(db, ...args)
}

function names<Table extends object>(table: Table): (keyof Table)[] {
  return Object.keys(table) as (keyof Table)[]
}
