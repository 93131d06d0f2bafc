/** The objects of the Files API as they go over the wire (contract §1.1 to §1.4). */

import { z } from 'zod'
import { Purpose } from './purpose.ts'

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
