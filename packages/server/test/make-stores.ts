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
    case 'postgres-s3':
      throw new Error('COFFER_TEST_STORES=postgres-s3: there are no tests on them yet.')
    default:
      throw new Error(`COFFER_TEST_STORES=${kind}: expected sqlite-disk or postgres-s3`)
  }
}
