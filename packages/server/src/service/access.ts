/** Who asks: from an API key to the organization and project it belongs to. */

import { hash } from 'node:crypto'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import {
  apiKeyInvalid,
  apiKeyMissing,
  organizationMismatched,
  projectMismatched,
} from './errors.ts'

export interface Caller {
  readonly organization_id: string
  readonly project_id: string
}

export interface Credentials {
  readonly apiKey: string | undefined
  /** What the client believes it belongs to; refused if it does not. */
  readonly organization: string | undefined
  readonly project: string | undefined
}

export interface Access {
  /** @throws ServiceError of status 401. */
  authenticate(credentials: Credentials): Promise<Caller>
}

export function createAccess({ metadata }: { metadata: MetadataStore }): Access {
  return {
    async authenticate({ apiKey, organization, project }) {
      if (apiKey === undefined) throw apiKeyMissing()
      // Looked up by digest, so that the time it takes tells nothing about any key.
      const caller = await metadata.findKeyOwner({ digest: digestApiKey(apiKey) })
      if (caller === undefined) throw apiKeyInvalid(maskApiKey(apiKey))
      if (organization !== undefined && organization !== caller.organization_id) {
        throw organizationMismatched()
      }
      if (project !== undefined && project !== caller.project_id) throw projectMismatched()
      return caller
    },
  }
}

/** SHA-256 in hexadecimal: all that is ever stored of a key. */
export function digestApiKey(key: string): string {
  return hash('sha256', key, 'hex')
}

/** The vendor's form: some of the beginning, stars, the last four characters (contract §2.2). */
export function maskApiKey(key: string): string {
  if (key.length < 16) return '*'.repeat(key.length)
  return `${key.slice(0, 8)}${'*'.repeat(Math.min(key.length - 12, 32))}${key.slice(-4)}`
}
