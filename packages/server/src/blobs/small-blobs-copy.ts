/** A new database of small blobs, filled by a tool and not synced before it is whole. */

import { openSqliteConnection } from '../sqlite/connection.ts'
import { migrateSqlite } from '../sqlite/migrations.ts'
import { migrations } from './small-blobs.ts'

export interface SmallBlobsCopy extends Disposable {
  add(id: string, content: Uint8Array): void
  remove(id: string): void
  /** Ends a group of changes, of which a few thousand cost as much as one. */
  commit(): void
}

export function openSmallBlobsCopy(path: string): SmallBlobsCopy {
  const connection = openSqliteConnection(path, { readOnly: false })
  connection.exec('pragma auto_vacuum = incremental; pragma synchronous = off')
  connection.exec('pragma secure_delete = on')
  migrateSqlite(connection, migrations)
  const insert = connection.prepare('insert into blobs (id, content) values (?, ?)')
  const remove = connection.prepare('delete from blobs where id = ?')

  function begin(): void {
    if (!connection.inTransaction()) connection.exec('begin')
  }

  return {
    add(id, content) {
      begin()
      insert.run(id, content)
    },
    remove(id) {
      begin()
      remove.run(id)
    },
    commit() {
      if (connection.inTransaction()) connection.exec('commit')
    },
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  }
}
