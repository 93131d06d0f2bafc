/** What every command of the program is given, and how it fails. */

/** All that the program touches; `process` is one. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  on(event: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  off(event: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
}

/** A problem that its message explains to the user; the program ends with exit code 1. */
export class Failure extends Error {
  override readonly name = 'Failure'
}
