/** Files as their purposes ask for them, for tests of something else. */

import type { UploadPurpose } from '@coffer/contract'

export interface ValidFile {
  readonly filename: string
  readonly content: Buffer<ArrayBuffer>
}

/** A PNG of one pixel. */
export const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

/** A request as a line of a batch, without the line's end. */
export function batchLine(custom_id = 'a', body: object = { model: 'gpt-4o', input: 'x' }): string {
  return JSON.stringify({ custom_id, method: 'POST', url: '/v1/responses', body })
}

export const trainingLine = '{"prompt":"a","completion":"b"}'
export const evalLine = '{"item":{"a":1}}'

/** Of each purpose one that is right. */
export const validFiles: Readonly<Record<UploadPurpose, ValidFile>> = {
  'fine-tune': { filename: 'a.jsonl', content: Buffer.from(`${trainingLine}\n`) },
  assistants: { filename: 'a.txt', content: Buffer.from('Some text.\n') },
  batch: { filename: 'a.jsonl', content: Buffer.from(`${batchLine()}\n`) },
  user_data: { filename: 'a.bin', content: Buffer.from([0, 1, 2, 0xff]) },
  vision: { filename: 'a.png', content: png },
  evals: { filename: 'a.jsonl', content: Buffer.from(`${evalLine}\n`) },
}
