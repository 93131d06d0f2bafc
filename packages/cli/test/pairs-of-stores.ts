/** Pairs of stores of every kind, between which a store can be moved. */

import { join } from 'node:path'
import { makeDiskStores } from '../../server/test/disk-stores.ts'
import { makePostgresS3Stores } from '../../server/test/postgres-s3-stores.ts'
import type { TestStores } from '../../server/test/test-stores.ts'

const makers = {
  'SQLite and a disk': makeDiskStores,
  'PostgreSQL and S3': makePostgresS3Stores,
  'SQLite and S3': async () => mixed(await makeDiskStores(), await makePostgresS3Stores()),
  'PostgreSQL and a disk': async () => mixed(await makePostgresS3Stores(), await makeDiskStores()),
}

export type Kind = keyof typeof makers

export function makePair(kind: Kind): Promise<TestStores> {
  return makers[kind]()
}

/** As `--from` and `--to` name it. */
export function nameOf({ settings }: Pick<TestStores, 'settings'>): string {
  const { COFFER_DATA, COFFER_METADATA_URL, COFFER_BLOBS_URL } = settings
  return COFFER_DATA ?? `${COFFER_METADATA_URL},${COFFER_BLOBS_URL}`
}

/** The rows of one and the bytes of the other. */
function mixed(rows: TestStores, bytes: TestStores): TestStores {
  return {
    ...bytes,
    settings: {
      COFFER_METADATA_URL:
        rows.settings.COFFER_METADATA_URL ?? `sqlite:${join(folderOf(rows), 'coffer.db')}`,
      COFFER_BLOBS_URL: bytes.settings.COFFER_BLOBS_URL ?? `file:${join(folderOf(bytes), 'blobs')}`,
    },
    query: rows.query,
    async [Symbol.asyncDispose]() {
      await bytes[Symbol.asyncDispose]()
      await rows[Symbol.asyncDispose]()
    },
  }
}

function folderOf({ settings }: TestStores): string {
  return settings.COFFER_DATA ?? ''
}
