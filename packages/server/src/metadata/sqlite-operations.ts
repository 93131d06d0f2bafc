/** What the thread that writes to the metadata store can be asked for. */

import type { OpenOperations } from '../sqlite/writer.ts'
import { type OperationName, runOperation } from './metadata-store.ts'
import { toDatabase } from './sqlite-database.ts'

export const openOperations: OpenOperations = (connection) => {
  const db = toDatabase(connection)
  return {
    run: (name, args) => runOperation(db, name as OperationName, args),
    growing: new Set<OperationName>(['addFile', 'addLooseBlobs']),
  }
}
