/** What every command of the program is given, and how it fails. */

import type { Readable } from 'node:stream'

export interface Terminal {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  /** How many characters fit on a line. */
  readonly columns?: number | undefined
  /** How many lines fit on the screen. */
  readonly rows?: number | undefined
}

/** All that the program touches; `process` is one. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable & { readonly isTTY?: boolean | undefined }
  readonly stdout: NodeJS.WritableStream & Terminal
  readonly stderr: NodeJS.WritableStream & Terminal
  on(event: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  off(event: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
}

/** A problem that its message explains, or else was explained; the program ends with exit code 1. */
export class Failure extends Error {
  override readonly name = 'Failure'
}

/** The command was used wrongly; the program ends with exit code 2. */
export class WrongUse extends Error {
  override readonly name = 'WrongUse'
}

/** The user stopped the program; it ends with exit code 130. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
}

/** Whoever reads the output wants no more, as `head`; the program ends silently, with 141. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}
