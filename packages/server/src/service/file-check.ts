/** What is told of a file that is checked and not kept. */

import type { FileCheck } from '@coffer/contract'
import type { Verdict } from '../content-rules/content-rules.ts'

export type CheckedFile = Pick<FileCheck, 'purpose' | 'filename' | 'bytes' | 'sha256'>

export function toFileCheck(file: CheckedFile, verdict: Verdict): FileCheck {
  const { faults, faultCount, lines, tokens, models, mimeType } = verdict
  const { purpose, filename, bytes, sha256 } = file
  return {
    object: 'file.check',
    valid: faultCount === 0,
    ...{ purpose, filename, bytes, sha256, mime_type: mimeType },
    num_lines: lines ?? null,
    tokens: tokens ?? null,
    models: models === undefined ? null : Object.fromEntries(models),
    ...{ details: [...faults], details_total: faultCount },
  }
}
