/** The form that adds a part: its bytes and, as an extension, their SHA-256, in any order. */

import {
  propertyMissing,
  propertyRepeated,
  propertyUnknown,
  valueInvalid,
} from '../service/errors.ts'
import type { StagedContent } from '../service/staging.ts'
import { readField } from './form-field.ts'
import type { Part } from './multipart.ts'

export interface PartForm extends AsyncDisposable {
  readonly content: StagedContent
  /** In lower-case hexadecimal. */
  readonly sha256: string | undefined
}

/**
 * Reads the form to its end. Disposing of it removes the content unless a part keeps it.
 *
 * @throws ServiceError, MultipartError, and what reading the body or staging throws.
 */
export async function readPartForm(
  parts: AsyncIterable<Part>,
  stage: (source: AsyncIterable<Uint8Array>) => Promise<StagedContent>,
): Promise<PartForm> {
  await using staged = new AsyncDisposableStack()
  let content: StagedContent | undefined
  let sha256: string | undefined

  for await (const part of parts) {
    if (part.name === 'data') {
      if (content !== undefined) throw propertyRepeated('data')
      content = staged.use(await stage(part.body))
    } else if (part.name === 'sha256') {
      if (sha256 !== undefined) throw propertyRepeated('sha256')
      sha256 = (await readField(part)).toLowerCase()
      if (!/^[0-9a-f]{64}$/.test(sha256)) throw valueInvalid('sha256', '64 hexadecimal digits')
    } else throw propertyUnknown(part.name)
  }

  if (content === undefined) throw propertyMissing('data')
  const kept = staged.move()
  return { content, sha256, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
