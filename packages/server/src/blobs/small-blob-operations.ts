/** What the thread that writes small blobs can be asked for. */

import type { OpenOperations } from '../sqlite/writer.ts'

/** Free pages that one vacuum gives back, so that uploads never wait long for it. */
const vacuumedPages = 1000

export const openOperations: OpenOperations = ({ exec, pragma, prepare }) => {
  // What a removed blob leaves in a page that is written anyway is overwritten; pages that become
  // free as a whole are cut off by the vacuum.
  exec('pragma secure_delete = fast')

  const operations: Readonly<Record<string, (...args: never[]) => unknown>> = {
    /** @returns whether the id was free. */
    add(id: string, content: Uint8Array) {
      const insert = prepare('insert or ignore into blobs (id, content) values (?, ?)')
      return insert.run(id, content).changes === 1
    },
    remove(id: string) {
      prepare('delete from blobs where id = ?').run(id)
    },
    /** @returns whether there is more to do. */
    vacuum() {
      exec(`pragma incremental_vacuum(${vacuumedPages})`)
      return Number(pragma('freelist_count')) > 0
    },
    /** A write that changes nothing still passes through the commit. */
    check() {
      prepare('delete from blobs where number = -1').run()
    },
  }
  return {
    run: (name, args) => operations[name]?.(...(args as never[])),
    growing: new Set(['add']),
  }
}
