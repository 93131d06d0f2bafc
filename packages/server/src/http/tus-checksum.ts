/** The header by which a tus client says what it sends (tus 1.0, Checksum). */

import { createHash } from 'node:crypto'
import { checksumDiffers, checksumInvalid } from '../service/errors.ts'

/** SHA-1 is the one that the protocol asks for. */
export const checksumAlgorithms: readonly string[] = ['sha1', 'sha256', 'md5']

export interface Checksum {
  /** Passes the bytes on, and looks at them. */
  watch(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** To be called once all was read. @throws ServiceError `checksum_differs` */
  require(): void
}

/** @throws ServiceError `checksum_invalid` */
export function readChecksum(header: string): Checksum {
  const [, algorithm = '', value = ''] = /^(\w+) ([A-Za-z0-9+/]+={0,2})$/.exec(header) ?? []
  if (!checksumAlgorithms.includes(algorithm)) throw checksumInvalid(checksumAlgorithms)
  const hash = createHash(algorithm)
  return {
    async *watch(source) {
      for await (const piece of source) {
        hash.update(piece)
        yield piece
      }
    },
    require() {
      if (!hash.digest().equals(Buffer.from(value, 'base64'))) throw checksumDiffers()
    },
  }
}
