/** What a purpose asks of a file's name. */

import type { UploadPurpose } from '@coffer/contract'
import { fileFormatInvalid } from './errors.ts'

/** `openai` refuses all that the vendor refuses; `open` lets the owner of the bytes decide. */
export type Profile = 'open' | 'openai'

/** Purposes whose files are lines of JSON, and what the vendor calls their reader. */
const jsonlReaders: Partial<Record<UploadPurpose, string>> = {
  'fine-tune': 'Fine-Tuning API',
  batch: 'Batch API',
}

/**
 * The profile `open` takes a name without an extension too: generated clients name raw bytes
 * `file`, and so could upload no training file at all (contract §4.3).
 *
 * @throws ServiceError `file_format_invalid`
 */
export function checkName(purpose: UploadPurpose, filename: string, profile: Profile): void {
  const reader = jsonlReaders[purpose]
  if (reader === undefined || filename.endsWith('.jsonl')) return
  if (profile === 'open' && !filename.includes('.')) return
  throw fileFormatInvalid(reader)
}

/** Purposes whose files the vendor does not give back (contract §2.5). */
export function isDownloadable(purpose: string, profile: Profile): boolean {
  return profile === 'open' || !['assistants', 'user_data'].includes(purpose)
}
