/** Which errors of a database are faults of what it stands on, not of what it was asked. */

/** Primary result codes of SQLite (https://sqlite.org/rescode.html). */
const full = 13
const faults = new Set([
  5, // busy
  8, // read-only
  10, // input or output
  11, // corrupt
  full,
  14, // cannot open
  26, // no database
])

/** The writer's own faults, as the `code` of an error. */
export type WriterFault = 'full' | 'moved' | 'stopped'

export function writerFault(code: WriterFault, message: string, options?: ErrorOptions): Error {
  return Object.assign(new Error(message, options), { code })
}

/** Whether there is no room, in the file system or as SQLite says it. */
export function isFull(error: unknown): boolean {
  const code = codeOf(error)
  return ['full', 'ENOSPC', 'EDQUOT'].includes(code ?? '') || resultOf(error) === full
}

/** Whether the storage failed, so that the same may succeed later. */
export function isStorageFault(error: unknown): boolean {
  const code = codeOf(error)
  return isFull(error) || code === 'moved' || code === 'stopped' || faults.has(resultOf(error))
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** Without the extended part, which tells the operation that failed. */
function resultOf(error: unknown): number {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
}
