/** What the SQLite store and its writer thread say to each other. */

import type { OperationName } from './metadata-store.ts'

export interface WriterData {
  readonly path: string
}

export interface Request {
  readonly id: number
  readonly name: OperationName
  readonly args: unknown[]
}

export interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: unknown
}
