/** Which errors of PostgreSQL are faults of what it stands on or of the way there, and what helps. */

import pg from 'pg'
import { MetadataError } from './metadata-error.ts'

/** The connection broke, or nobody answered: whether a statement under way had an effect is not known. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
}

/**
 * - `lost`: this connection is of no use any more; another one may be.
 * - `again`: the transaction gave way to another one.
 * - `locked`, `late`: this operation took too long, for which others were in its way or not; others may go on.
 * - `full`, `unavailable`: as of a `MetadataError`.
 */
export type PostgresFault = 'lost' | 'again' | 'locked' | 'late' | 'full' | 'unavailable'

/** By SQLSTATE, or by its first two characters (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const faults = new Map<string, PostgresFault>([
  ['08', 'lost'], // connection exceptions
  ['25006', 'lost'], // read only: a standby, or a primary that has become one
  ['25P03', 'lost'], // idle in a transaction for too long
  ['57P01', 'lost'], // shut down by an administrator
  ['57P02', 'lost'], // crashed
  ['57P03', 'lost'], // still starting, or stopping
  ['57P05', 'lost'], // idle for too long
  ['53300', 'lost'], // too many connections
  ['40001', 'again'], // serialization failure
  ['40P01', 'again'], // deadlock
  ['53100', 'full'], // disk full
  ['53', 'unavailable'], // insufficient resources
  ['55P03', 'locked'], // a lock was not to be had in time
  ['57014', 'late'], // cancelled, as by a time-out
  ['58', 'unavailable'], // system errors
  ['XX', 'unavailable'], // internal errors, damaged data
  ['28', 'unavailable'], // authorization, as after a change of passwords
  ['3D000', 'unavailable'], // no such database
])

/** @returns undefined for what is a fault of who asked. */
export function faultOf(error: unknown): PostgresFault | undefined {
  if (error instanceof ConnectionLost) return 'lost'
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return undefined
  return faults.get(error.code) ?? faults.get(error.code.slice(0, 2))
}

/** Of an error that no further attempt helps against. */
export function toMetadataError(cause: unknown): unknown {
  const fault = faultOf(cause)
  if (fault === undefined) return cause
  if (fault === 'full') return new MetadataError('full', 'The metadata store is full.', { cause })
  if (fault === 'locked') {
    return new MetadataError('busy', 'Others keep what the operation needs.', { cause })
  }
  return new MetadataError('unavailable', 'The metadata store does not work now.', { cause })
}
