/** What stands under a store of blobs, for who only reads, beside the servers that write. */

import type { BlobDriver } from './blob-driver.ts'

export type BlobReader = Pick<BlobDriver, 'read' | 'readMark' | 'close'>
