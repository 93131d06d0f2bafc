/** What `GET /files` may be asked (contract §1.1). */

import { z } from 'zod'
import { limits } from './limits.ts'
import { Purpose } from './purpose.ts'

const { least, most, default: standard } = limits.pageFiles

export const ListOrder = z.enum(['asc', 'desc'])
export type ListOrder = z.infer<typeof ListOrder>

export const ListFilesQuery = z.object({
  purpose: Purpose.optional().describe('Only files with this purpose.'),
  limit: z.int().min(least).max(most).default(standard).describe('How many files a page has.'),
  order: ListOrder.default('desc').describe('By the time of creation.'),
  after: z.string().optional().describe('The id of the file behind which the page begins.'),
})
export type ListFilesQuery = z.infer<typeof ListFilesQuery>
