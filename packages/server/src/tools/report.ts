/** What an inspection of a store found. */

/** Rows and bytes do not belong together. */
export interface MarkFault {
  readonly kind: 'mark'
  readonly message: string
}

/** `file` is the id of the file, or of the pending Upload that holds the blob as a part. */
export type Fault =
  | MarkFault
  /** A database is not whole, or could not be read to its end. */
  | { readonly kind: 'database'; readonly path: string; readonly message: string }
  /** A file holds a blob of which there are no bytes. */
  | { readonly kind: 'dangling'; readonly file: string; readonly blob: string }
  /** A blob has another size than the file that holds it was told. */
  | {
      readonly kind: 'mismatching'
      readonly file: string
      readonly blob: string
      readonly expected: number
      readonly found: number
    }
  /** The size of a file is not the sum of what it holds. */
  | {
      readonly kind: 'missized'
      readonly file: string
      readonly expected: number
      readonly found: number
    }
  /** A file was found to be damaged before. */
  | { readonly kind: 'damaged'; readonly file: string; readonly since: number }
  /** A file holds a blob that the sweep may remove. */
  | { readonly kind: 'held-and-loose'; readonly file: string; readonly blob: string }
  /** The usage of an organization is not the sum of its files. */
  | {
      readonly kind: 'miscounted'
      readonly organization: string
      readonly counted: number
      readonly found: number
    }
  /** An orphan that should have been removed by now. */
  | { readonly kind: 'overdue'; readonly blob: string; readonly quarantined: number }
  /** In one part of the blobs, so many that rows must have been lost. */
  | { readonly kind: 'many-orphans'; readonly prefix: string; readonly orphans: number }
  /** A file among the blobs that is none. */
  | { readonly kind: 'stranger'; readonly path: string }

export interface Report {
  readonly files: number
  /** Of all files. */
  readonly bytes: number
  /** Blobs that are listed as loose: of uploads and removals under way, or for the sweep. */
  readonly loose: number
  /** Bytes that no row knows. */
  readonly orphans: {
    readonly count: number
    readonly bytes: number
    /** How many of them are seen a second time already, and removed a day after that. */
    readonly quarantined: number
  }
  /** All that is wrong; loose blobs and orphans whose time has not come are not. */
  readonly faults: readonly Fault[]
}
