/** A field of a form that is no file. */

import { propertyTooLong } from '../service/errors.ts'
import type { Part } from './multipart.ts'

/** Bytes of one field's value; the longest that means anything is some seventy. */
const fieldBytes = 4096

export async function readField(part: Part): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of part.body) {
    bytes += piece.length
    if (bytes > fieldBytes) throw propertyTooLong(part.name, fieldBytes)
    pieces.push(Uint8Array.from(piece))
  }
  return Buffer.concat(pieces).toString('utf8')
}
