/** The objects of the Files API as they go over the wire (contract §1.1 to §1.4). */

import { z } from 'zod'
import { ContentFault } from './problem.ts'
import { Purpose, UploadPurpose } from './purpose.ts'

const UnixSeconds = z.int().min(0)

// The keys stand in the order in which the vendor writes them.
export const File = z
  .object({
    object: z.literal('file'),
    id: z.string().describe('The id of the file, which is opaque.'),
    purpose: Purpose,
    filename: z.string(),
    bytes: z.int().min(0).describe('The size of the content in bytes.'),
    created_at: UnixSeconds.describe('When the file was created, in Unix seconds.'),
    expires_at: UnixSeconds.nullable().describe('When the file expires, in Unix seconds, or null.'),
    status: z.enum(['uploaded', 'processed', 'error']),
    status_details: z.string().nullable(),
    sha256: z
      .string()
      .optional()
      .describe('Of the content, in hexadecimal, where it was taken; an extension.'),
    mime_type: z.string().optional().describe('What the content is; an extension.'),
    num_lines: z
      .int()
      .min(0)
      .optional()
      .describe('How many lines of JSON there are, where they were checked; an extension.'),
    tokens: z
      .int()
      .min(0)
      .optional()
      .describe(
        'How many tokens of o200k_base the text has, where they were counted; an extension.',
      ),
  })
  .describe('A file that was uploaded.')
export type File = z.infer<typeof File>

export const FilePage = z
  .object({
    object: z.literal('list'),
    data: z.array(File),
    first_id: z.string().nullable().describe('Null on an empty page.'),
    last_id: z.string().nullable().describe('The next page is asked for with `after=<last_id>`.'),
    has_more: z.boolean(),
  })
  .describe('One page of files.')
export type FilePage = z.infer<typeof FilePage>

export const DeletedFile = z
  .object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })
  .describe('What is left of a deleted file.')
export type DeletedFile = z.infer<typeof DeletedFile>

export const FileCheck = z
  .object({
    object: z.literal('file.check'),
    valid: z.boolean().describe('Whether the file could be uploaded.'),
    purpose: UploadPurpose,
    filename: z.string(),
    bytes: z.int().min(0),
    sha256: z.string().describe('Of the content, in hexadecimal.'),
    mime_type: z.string().describe('What the content is.'),
    num_lines: z.int().min(0).nullable().describe('How many lines of JSON there are, or null.'),
    tokens: z
      .int()
      .min(0)
      .nullable()
      .describe('How many tokens of o200k_base the texts have; null where they were not counted.'),
    models: z
      .record(z.string(), z.int().min(1))
      .nullable()
      .describe('How many requests of a batch there are of each model; null for other purposes.'),
    details: z.array(ContentFault).describe('The first hundred faults.'),
    details_total: z.int().min(0).describe('How many faults there are in all.'),
  })
  .describe('What an upload of a file would find wrong with it.')
export type FileCheck = z.infer<typeof FileCheck>
