/** Makes stores for a test, of the kind that the environment names in COFFER_TEST_STORES. */

import { makeDiskStores } from './disk-stores.ts'
import type { TestStores } from './test-stores.ts'

const kind = process.env['COFFER_TEST_STORES'] || 'sqlite-disk'

/** For `runIf`, in tests of what only SQLite and a disk have. */
export const onDisk = kind === 'sqlite-disk'

export async function makeStores(): Promise<TestStores> {
  switch (kind) {
    case 'sqlite-disk':
      return makeDiskStores()
    case 'postgres-s3': {
      // Imported where it is used: to load the SDK takes longer than many a test.
      const { makePostgresS3Stores } = await import('./postgres-s3-stores.ts')
      return makePostgresS3Stores()
    }
    default:
      throw new Error(`COFFER_TEST_STORES=${kind}: expected sqlite-disk or postgres-s3`)
  }
}
