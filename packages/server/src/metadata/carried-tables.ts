/** What of a store's rows goes along when it moves to another database, and in which order. */

import type { Tables } from './tables.ts'

/** What says how things stand in one database, or beside one place of bytes, and begins anew in the next. */
type StaysBehind = 'loose_blobs' | 'orphans' | 'servers' | 'store'

export type CarriedTable = Exclude<keyof Tables, StaysBehind>

/** What tells the rows of a table apart, and gives the order in which they are read. */
type Key<Table extends keyof Tables> = readonly [keyof Tables[Table], ...(keyof Tables[Table])[]]

const keys = {
  organizations: ['id'],
  projects: ['id'],
  api_keys: ['id'],
  files: ['sequence'],
  segments: ['file_id', 'position'],
  uploads: ['id'],
  parts: ['sequence'],
  deleted_files: ['id'],
} as const satisfies { readonly [Table in CarriedTable]: Key<Table> }

/** Where a row says which file or Upload it is of, in the tables that have their rows. */
const holders: { readonly [Table in CarriedTable]?: keyof Tables[Table] } = {
  files: 'id',
  segments: 'file_id',
  uploads: 'id',
  parts: 'upload_id',
}

export interface Carried {
  readonly name: CarriedTable
  readonly key: readonly string[]
  /** The column of the file or Upload that a row is of. */
  readonly holder: string | undefined
}

/** Each behind those that its rows refer to. */
export const carriedTables: readonly Carried[] = Object.entries(keys).map(([name, key]) => ({
  name: name as CarriedTable,
  key,
  holder: holders[name as CarriedTable],
}))
