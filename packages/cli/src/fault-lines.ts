/** What is wrong with a file's content, as compilers write it: editors and terminals jump there. */

import type { ContentFault } from '@coffer/client'
import { printable } from './printable.ts'
import { count } from './readable.ts'

export interface ToldFaults {
  readonly details: readonly Pick<ContentFault, 'line' | 'message'>[]
  /** Also of those that are not told. */
  readonly total: number
}

/**
 * One line for each fault, as `train.jsonl:41207: Missing required parameter: 'custom_id'.`
 *
 * @param most how many faults are shown; the rest is counted in a line of its own.
 */
export function faultLines(path: string, { details, total }: ToldFaults, most: number): string[] {
  const shown = details.slice(0, most)
  const lines = shown.map(({ line, message }) =>
    printable(`${path}${line === null ? '' : `:${line}`}: ${message}`),
  )
  const more = total - shown.length
  return more > 0 ? [...lines, printable(`${path}: … and ${count(more)} more`)] : lines
}
