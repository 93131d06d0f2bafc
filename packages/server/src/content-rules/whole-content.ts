/** Content that is there as a whole, and what is found of it. */

import type { Faults } from './fault-list.ts'
import type { LineCheck } from './line-checks.ts'
import type { TextEncoding } from './text-encoding.ts'
import type { ReadRange, TextAsker } from './texts.ts'

export interface WholeContent {
  readonly filename: string
  readonly purpose: string
  readonly bytes: number
  readonly encoding: TextEncoding
  /** What watched it while it passed, if it was given all of it. */
  readonly watched?: LineCheck | undefined
  readonly read: ReadRange
  /** Whether tokens are counted where no rule asks for them. */
  readonly countsTokens: boolean
  readonly asker: TextAsker
}

/** What one rule has found; what it has not looked for is undefined. */
export interface Opinion {
  readonly faults: Faults
  /** Of JSON. */
  readonly lines?: number | undefined
  readonly tokens?: number | undefined
  /** Of a batch: how many requests there are of each model. */
  readonly models?: ReadonlyMap<string, number> | undefined
  readonly mimeType?: string | undefined
}

/** How many first bytes tell what content is. */
const headBytes = 4_100

export async function readHead({ bytes, read }: WholeContent): Promise<Uint8Array> {
  return read(0, Math.min(bytes, headBytes))
}
