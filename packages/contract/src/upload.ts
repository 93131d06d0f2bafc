/** The objects of the Uploads API as they go over the wire (contract §1.6 to §1.9). */

import { z } from 'zod'
import { File } from './file.ts'
import { Purpose } from './purpose.ts'

const UnixSeconds = z.int().min(0)

// The keys stand in the order in which the vendor documents them.
export const Upload = z
  .object({
    id: z.string().describe('The id of the Upload, which is opaque.'),
    object: z.literal('upload'),
    bytes: z.int().min(0).describe('The size of the file to be, in bytes.'),
    created_at: UnixSeconds.describe('When the Upload was created, in Unix seconds.'),
    filename: z.string(),
    purpose: Purpose,
    status: z.enum(['pending', 'completed', 'cancelled', 'expired']),
    expires_at: UnixSeconds.describe('When a pending Upload expires, in Unix seconds.'),
    file: File.nullable().describe('The file that a completed Upload became.'),
  })
  .describe('A file whose content comes in parts.')
export type Upload = z.infer<typeof Upload>

export const UploadPart = z
  .object({
    id: z.string().describe('The id of the part, which is opaque.'),
    object: z.literal('upload.part'),
    created_at: UnixSeconds,
    upload_id: z.string(),
    bytes: z.int().min(0).describe('The size of the part in bytes; an extension.'),
    sha256: z.string().describe('The SHA-256 of the part in hexadecimal; an extension.'),
  })
  .describe('A part of an Upload.')
export type UploadPart = z.infer<typeof UploadPart>

export const UploadPartPage = z
  .object({
    object: z.literal('list'),
    data: z.array(UploadPart),
    first_id: z.string().nullable().describe('Null on an empty page.'),
    last_id: z.string().nullable().describe('The next page is asked for with `after=<last_id>`.'),
    has_more: z.boolean(),
  })
  .describe('One page of the parts of an Upload, in the order in which they came.')
export type UploadPartPage = z.infer<typeof UploadPartPage>
