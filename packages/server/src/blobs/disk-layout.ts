/** What stands beside the folders of blobs in the folder of a disk driver. */

/** The database of small blobs. */
export const smallBlobsName = 'small-blobs.db'

/** The mark that tells which store the bytes are of. */
export const markName = 'STORE'

/** What the ids of all blobs begin with, each a folder of its own. */
export const prefixes: readonly string[] = Array.from({ length: 256 }, (_, number) =>
  number.toString(16).padStart(2, '0'),
)
