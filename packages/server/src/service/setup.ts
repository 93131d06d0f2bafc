/** What a Coffer must have before it can serve anyone: an organization, a project and a key. */

import type { MetadataStore } from '../metadata/metadata-store.ts'
import { digestApiKey } from './access.ts'
import type { Clock } from './clock.ts'
import type { Ids } from './ids.ts'

export interface SetupNeeds {
  readonly metadata: MetadataStore
  readonly clock: Clock
  readonly ids: Ids
}

/**
 * Makes what is missing. A key from the configuration replaces the one that the configuration
 * gave before; without one, a first key is made.
 *
 * @returns the key that was made, to be shown once, as only its digest is stored.
 */
export async function setUp(
  { metadata, clock, ids }: SetupNeeds,
  configuredKey: string | undefined,
): Promise<string | undefined> {
  const now = clock.now()
  const owner = await metadata.ensureOwner({
    organization_id: ids.organization(),
    project_id: ids.project(),
    now,
  })
  if (configuredKey !== undefined) {
    const digest = digestApiKey(configuredKey)
    await metadata.setApiKey({ ...owner, id: ids.apiKey(), name: 'COFFER_API_KEY', digest, now })
    return undefined
  }
  const made = ids.secret()
  const digest = digestApiKey(made)
  const key = { ...owner, id: ids.apiKey(), name: 'First key', digest, now }
  return (await metadata.addFirstApiKey(key)) ? made : undefined
}
