/** Which writes may share a transaction with others, and whose organizations they need for themselves. */

import type { OperationName, writes } from './metadata-store.ts'

type Writes = typeof writes
type Values<Name extends keyof Writes> = Parameters<Writes[Name]>[1]

/**
 * Gives the project whose organization a write changes, or undefined where it changes none. Writes that are
 * not here take long, or take locks of their own: they run alone.
 */
const shared: { readonly [Name in keyof Writes]?: (values: Values<Name>) => string | undefined } = {
  addFile: ({ file }) => file.project_id,
  deleteFile: ({ project_id }) => project_id,
  addUpload: ({ upload }) => upload.project_id,
  addPart: ({ project_id }) => project_id,
  completeUpload: ({ project_id }) => project_id,
  cancelUpload: ({ project_id }) => project_id,
  markDamagedFile: () => undefined,
  addLooseBlobs: () => undefined,
  takeLooseBlob: () => undefined,
  forgetLooseBlob: () => undefined,
}

export function isShared(name: OperationName): boolean {
  return name in shared
}

/** @param args of the operation of that name. */
export function projectOf(name: OperationName, args: readonly unknown[]): string | undefined {
  // A name and its arguments come together from the caller of the store.
  const find = shared[name as keyof Writes] as ((values: unknown) => string | undefined) | undefined
  return find?.(args[0])
}
