/** The form that creates a file: its content and its fields, in whatever order they come. */

import { limits, UploadPurpose } from '@coffer/contract'
import { z } from 'zod'
import {
  anchorInvalid,
  checkInteger,
  expiresAfterMalformed,
  propertyMissing,
  propertyRepeated,
  propertyUnknown,
  purposeInvalid,
} from '../service/errors.ts'
import { toFilename } from '../service/filename.ts'
import type { KnownContent, NewFile } from '../service/files.ts'
import type { StagedContent } from '../service/staging.ts'
import { readField } from './form-field.ts'
import type { Part } from './multipart.ts'

const fieldNames = [
  'purpose',
  'expires_after[anchor]',
  'expires_after[seconds]',
  // Generated clients write an object in a form as JSON.
  'expires_after',
] as const
type FieldName = (typeof fieldNames)[number]

export interface CreateForm extends AsyncDisposable {
  readonly content: StagedContent
  readonly file: NewFile
}

/** Writes the content of a file, of which this much is known when it begins. */
export type Stage = (
  source: AsyncIterable<Uint8Array>,
  known: Pick<KnownContent, 'filename' | 'purpose'>,
) => Promise<StagedContent>

/**
 * Reads the form to its end. A wrong purpose or name that comes before the file's bytes is refused
 * before they are read. Disposing of the form removes the content unless a file keeps it.
 *
 * @throws ServiceError, MultipartError, and what reading the body or staging throws.
 */
export async function readCreateForm(
  parts: AsyncIterable<Part>,
  stage: Stage,
): Promise<CreateForm> {
  await using staged = new AsyncDisposableStack()
  const fields = new Map<FieldName, string>()
  let upload: { content: StagedContent; filename: string } | undefined

  for await (const part of parts) {
    if (part.name === 'file') {
      if (upload !== undefined) throw propertyRepeated('file')
      const filename = toFilename(part.filename)
      const purpose = toPurpose(fields.get('purpose'))
      upload = {
        content: staged.use(await stage(part.body, { filename, purpose })),
        filename,
      }
    } else {
      const name = fieldNames.find((known) => known === part.name)
      if (name === undefined) throw propertyUnknown(part.name)
      if (fields.has(name)) throw propertyRepeated(name)
      fields.set(name, await readField(part))
    }
  }

  if (upload === undefined) throw propertyMissing('file')
  const purpose = toPurpose(fields.get('purpose'))
  if (purpose === undefined) throw propertyMissing('purpose')
  const expiresAfter = toExpiresAfter(fields)
  const kept = staged.move()
  return {
    content: upload.content,
    file: { filename: upload.filename, purpose, expiresAfter },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

const OptionalPurpose = UploadPurpose.optional()

function toPurpose(value: string | undefined): UploadPurpose | undefined {
  const { success, data } = OptionalPurpose.safeParse(value)
  if (!success) throw purposeInvalid(value ?? '', UploadPurpose.options)
  return data
}

/** Seconds from creation to expiry, if the form names any. */
function toExpiresAfter(fields: ReadonlyMap<FieldName, string>): number | undefined {
  const json = fields.get('expires_after')
  const anchor = fields.get('expires_after[anchor]')
  const seconds = fields.get('expires_after[seconds]')
  const given = json === undefined ? { anchor, seconds } : parseJson(json)
  if (given.anchor === undefined && given.seconds === undefined) return undefined
  if (given.anchor === undefined) throw propertyMissing('expires_after[anchor]')
  if (given.seconds === undefined) throw propertyMissing('expires_after[seconds]')
  if (given.anchor !== 'created_at') throw anchorInvalid(given.anchor)
  return checkInteger('expires_after.seconds', given.seconds, limits.expiresAfterSeconds)
}

const ExpiresAfterJson = z.object({
  anchor: z.string(),
  seconds: z.union([z.string(), z.number().transform(String)]),
})

function parseJson(text: string): z.infer<typeof ExpiresAfterJson> {
  try {
    return ExpiresAfterJson.parse(JSON.parse(text))
  } catch (cause) {
    throw expiresAfterMalformed(cause)
  }
}
