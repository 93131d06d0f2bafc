/** What a thread and who started it say to each other. */

/** Sent to a thread that has nothing more to do. */
export const end = 'end'

/** Those of one turn of the event loop travel together. */
export interface Call {
  readonly id: number
  readonly name: string
  readonly args: readonly unknown[]
}

export interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: ThreadError
}

/** What a thread asks who started it. */
export interface Question {
  readonly question: number
  readonly value: unknown
}

export interface Reply {
  readonly question: number
  readonly value?: unknown
  readonly error?: ThreadError
}

/** An error as it passes between threads, which keep no more of one than its message. */
export interface ThreadError {
  readonly message: string
  readonly stack: string | undefined
  /** Its own properties, as SQLite's `errcode`. */
  readonly properties: Readonly<Record<string, unknown>>
}

export function toThreadError(thrown: unknown): ThreadError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  // A cause may hold anything, and what cannot be cloned would be lost with all else.
  const properties = Object.entries(error).filter(([, value]) => isPlain(value))
  return {
    message: error.message,
    stack: error.stack,
    properties: Object.fromEntries(properties),
  }
}

export function fromThreadError({ message, stack, properties }: ThreadError): Error {
  return Object.assign(new Error(message), { stack }, properties)
}

function isPlain(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value)
}
