/** What a file is for: the API's own word, and the values it knows. */

import { z } from 'zod'

/** Purposes a client may upload with (contract §1.2), in the order of the vendor's error text. */
export const uploadPurposes = [
  'fine-tune',
  'assistants',
  'batch',
  'user_data',
  'vision',
  'evals',
] as const

/** All purposes a file can have: those, and the ones that only servers produce. */
export const purposes = [
  ...uploadPurposes,
  'assistants_output',
  'batch_output',
  'fine-tune-results',
] as const

export const UploadPurpose = z.enum(uploadPurposes).describe('The intended purpose of the file.')
export type UploadPurpose = z.infer<typeof UploadPurpose>

export const Purpose = z.enum(purposes).describe('The intended purpose of the file.')
export type Purpose = z.infer<typeof Purpose>
