/** The two pairs of stores between which a store is moved, whatever drivers they have. */

import type { BlobReader } from '../blobs/blob-reader.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { SourceRows, TargetRows } from '../metadata/row-ends.ts'

export interface MigrationSource extends AsyncDisposable {
  /** To be shown. */
  readonly name: string
  readonly rows: SourceRows
  readonly bytes: BlobReader
}

export interface MigrationTarget extends AsyncDisposable {
  /** To be shown. */
  readonly name: string
  readonly rows: TargetRows
  readonly blobs: BlobStore
}
