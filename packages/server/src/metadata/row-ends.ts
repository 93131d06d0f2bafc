/** The two ends of a migration of rows, whatever databases they are. */

import type { Database } from './tables.ts'

/** The rows of a store that is copied, beside the servers that run on it. Nothing of it is changed. */
export interface SourceRows extends AsyncDisposable {
  /** As they are when they are asked for. */
  readonly db: Database
  /** Looks at the rows as they all are at one moment. */
  atOneMoment<Result>(look: (db: Database) => Promise<Result>): Promise<Result>
}

/** The rows of a store that is made, which nobody else has meanwhile. */
export interface TargetRows extends AsyncDisposable {
  readonly db: Database
  /** Makes all that `change` does durable, or nothing. */
  together<Result>(change: () => Promise<Result>): Promise<Result>
}
