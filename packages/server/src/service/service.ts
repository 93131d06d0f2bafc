/** The service as one thing: what the product does, over a metadata store and a blob store. */

import type { BlobStore } from '../blobs/blob-store.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { type Access, createAccess } from './access.ts'
import { createBlobIds } from './blob-ids.ts'
import type { Clock } from './clock.ts'
import { createFiles, type FileSettings, type Files } from './files.ts'
import type { Ids } from './ids.ts'
import type { Log } from './log.ts'
import { createRemoval } from './removal.ts'
import { createStaging } from './staging.ts'
import { createSweep, type Sweep } from './sweep.ts'

export interface Service {
  readonly access: Access
  readonly files: Files
  readonly sweep: Sweep
  /** Rejects if files could not be stored now. */
  check(): Promise<void>
  /** Resolves once the work that requests left behind has ended. */
  settled(): Promise<void>
}

export interface ServiceNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly settings: FileSettings
}

export function createService({
  metadata,
  blobs,
  clock,
  ids,
  log,
  settings,
}: ServiceNeeds): Service {
  const removal = createRemoval({ metadata, blobs, log })
  const blobIds = createBlobIds({ metadata, clock, ids })
  const staging = createStaging({ blobs, blobIds, removal })
  return {
    access: createAccess({ metadata }),
    files: createFiles({ metadata, blobs, staging, removal, clock, ids, settings }),
    sweep: createSweep({ metadata, blobs, removal, staging, clock }),
    async check() {
      await Promise.all([metadata.check(), blobs.check()])
    },
    async settled() {
      await staging.settled()
      await removal.settled()
    },
  }
}
