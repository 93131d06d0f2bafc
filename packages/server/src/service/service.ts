/** The service as one thing: what the product does, over a metadata store and a blob store. */

import type { BlobStore } from '../blobs/blob-store.ts'
import type { ContentRules } from '../content-rules/content-rules.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { type Access, createAccess } from './access.ts'
import { createBlobIds } from './blob-ids.ts'
import type { Clock } from './clock.ts'
import { createFiles, type FileSettings, type Files } from './files.ts'
import type { Ids } from './ids.ts'
import type { Log } from './log.ts'
import type { Measures } from './measures.ts'
import { createPresence, type Presence } from './presence.ts'
import { createRemoval } from './removal.ts'
import { createStaging } from './staging.ts'
import { watchStorage } from './storage-health.ts'
import { bindStores } from './store-binding.ts'
import { createSweep, type Sweep } from './sweep.ts'
import { createUploads, type UploadSettings, type Uploads } from './uploads.ts'

export interface Service {
  readonly access: Access
  readonly files: Files
  readonly uploads: Uploads
  readonly sweep: Sweep
  readonly presence: Presence
  /** Rejects if files could not be stored now. */
  check(): Promise<void>
  /** Resolves once the work that requests left behind has ended. */
  settled(): Promise<void>
}

export interface ServiceNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  /** Whether other servers may run on the same stores. */
  readonly isShared: boolean
  readonly rules: ContentRules
  /** Those that a check without an upload asks for. */
  readonly trialRules: ContentRules
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly measures: Measures
  readonly settings: FileSettings & UploadSettings
}

/** @throws if the stores do not belong together. */
export async function openService(needs: ServiceNeeds): Promise<Service> {
  const { isShared, rules, trialRules, clock, ids, log, measures, settings } = needs
  const health = watchStorage(needs)
  const { metadata, blobs } = health.stores
  const binding = await bindStores({ metadata, blobs, clock, ids, log })
  const presence = createPresence({ metadata, server_id: ids.server(), isShared })
  // Behind the look at the stores: what newer rows may have held is kept from then on.
  await presence.renew()
  const removal = createRemoval({ metadata, blobs, log, measures })
  const blobIds = createBlobIds({ metadata, clock, ids, presence })
  const staging = createStaging({ blobs, blobIds, removal })
  const files = createFiles({
    ...{ metadata, blobs, staging, removal, binding, rules, trialRules },
    ...{ clock, ids, log, measures, settings },
  })
  return {
    access: createAccess({ metadata }),
    files,
    uploads: createUploads({
      ...{ metadata, blobs, files, staging, removal, binding, rules },
      ...{ clock, ids, settings },
    }),
    sweep: createSweep({
      ...{ metadata, blobs, removal, staging, binding, presence },
      ...{ clock, log, measures },
    }),
    presence,
    async check() {
      await Promise.all([health.check(), binding.check()])
    },
    async settled() {
      await staging.settled()
      await removal.settled()
    },
  }
}
