/** What a file is called: the name the client sent, made safe to show and to write elsewhere. */

import { limits } from '@coffer/contract'
import { hasControlCharacters } from './control-characters.ts'
import { filenameInvalid, filenameTooLong } from './errors.ts'

/** What a file is called whose client sent no name, as generated clients name it themselves. */
const nameless = 'file'

/**
 * The last part of what may be a path, else unchanged: bidirectional and zero-width characters
 * stay, as they belong to real names.
 *
 * @throws ServiceError `filename_invalid`
 */
export function toFilename(sent: string | undefined): string {
  const name = sent?.slice(Math.max(sent.lastIndexOf('/'), sent.lastIndexOf('\\')) + 1) ?? ''
  if (name === '' || name === '.' || name === '..') return nameless
  if (hasControlCharacters(name)) throw filenameInvalid('it contains a control character.')
  if (!name.isWellFormed()) throw filenameInvalid('it is not valid Unicode.')
  if (Buffer.byteLength(name) > limits.filenameBytes) throw filenameTooLong()
  return name
}
