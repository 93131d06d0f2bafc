/** The tables of the metadata store, as Kysely sees them. */

import type { Generated, Kysely } from 'kysely'

/** Times are whole Unix seconds, sizes are bytes. */
export interface Tables {
  organizations: {
    id: string
    name: string
    used_bytes: Generated<number>
    created_at: number
  }
  projects: {
    id: string
    organization_id: string
    name: string
    created_at: number
  }
  api_keys: {
    id: string
    organization_id: string
    project_id: string
    name: string
    digest: string
    created_at: number
  }
  files: {
    sequence: Generated<number>
    id: string
    organization_id: string
    project_id: string
    purpose: string
    filename: string
    bytes: number
    sha256: string
    encoding: 'utf-8' | 'binary'
    created_at: number
    expires_at: number | null
    damaged_at: Generated<number | null>
    mime_type: string | null
    num_lines: number | null
    tokens: number | null
  }
  segments: {
    file_id: string
    position: number
    blob_id: string
    bytes: number
    checksums: Uint8Array
  }
  uploads: {
    id: string
    organization_id: string
    project_id: string
    purpose: string
    filename: string
    mime_type: string
    bytes: number
    lifetime: number | null
    created_at: number
    expires_at: number
    status: 'pending' | 'completed' | 'cancelled' | 'expired'
    file_id: Generated<string | null>
    part_ids: Generated<string | null>
    tus_metadata: string | null
    arrived_bytes: Generated<number>
    arrived_parts: Generated<number>
  }
  parts: {
    sequence: Generated<number>
    id: string
    upload_id: string
    blob_id: string
    bytes: number
    sha256: string
    checksums: Uint8Array
    encoding: string
    created_at: number
  }
  loose_blobs: {
    blob_id: string
    /** Until when the sweep leaves it alone; 1 where its server ended, and 0 once it is taken, for good. */
    sweep_after: number
    /** Who is to write it; null where nobody does. */
    server_id: string | null
  }
  orphans: {
    blob_id: string
    seen_at: number
    quarantined_at: number | null
  }
  store: {
    id: string
    generation: number
    restored_at: number | null
    history: string | null
  }
  servers: {
    id: string
    signs: number
  }
  deleted_files: {
    id: string
    project_id: string
    created_at: number
    sequence: number
    deleted_at: number
  }
}

export type Database = Kysely<Tables>
