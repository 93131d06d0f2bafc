/** What a test may know of the stores under a server, and do to them, whatever they are. */

import type { SettingName } from '@coffer/server'

/** Empty at first, and gone once they are disposed of. Their server may stop and start meanwhile. */
export interface TestStores extends AsyncDisposable {
  /** What a server needs to be told to use them. */
  readonly settings: Readonly<Partial<Record<SettingName, string>>>
  /**
   * Runs SQL on the database, beside the server. It has to be understood by all databases, with a
   * `?` for each value.
   */
  query<Row>(sql: string, ...values: (string | number)[]): Promise<Row[]>
  /** The ids of all blobs in order, unfinished ones too. */
  listBlobs(): Promise<string[]>
  /** Puts other content in the place of a blob that has more than 16 KiB. Rejects if there is none. */
  replaceBlob(id: string, content: Uint8Array): Promise<void>
  /** Removes a blob that has more than 16 KiB. Rejects if there is none. */
  removeBlob(id: string): Promise<void>
  /** Takes away all blobs together with the place for new ones, as if it had never been. */
  loseBlobs(): Promise<void>
  /** How often a blob of more than 16 KiB is being read now, by servers of this process. */
  timesRead(id: string): Promise<number>
}

/** Once so many bytes of a content have come, there is some of it in any store. */
export const begunBytes = 12 * 1024 * 1024
