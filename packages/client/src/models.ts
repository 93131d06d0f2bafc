/** What the API answers with. Fields keep their names on the wire. */

import type { Purpose, UploadPurpose } from '@coffer/contract'
import { isRecord, UnexpectedAnswerException } from './api-exception.ts'
import { type ContentFault, readFaults } from './content-fault.ts'

/** A known value, or one that another server made up. */
export type Open<Known extends string> = Known | (string & {})

/** A file that was uploaded. Other vendors leave fields out or add some. */
export interface OpenAIFile {
  id: string
  object?: Open<'file'>
  bytes: number
  /** In Unix seconds. */
  created_at: number
  filename: string
  purpose: Open<Purpose>
  status?: Open<'uploaded' | 'processed' | 'error'>
  status_details?: string | null
  /** In Unix seconds, or null if the file does not expire. */
  expires_at?: number | null
  /** Of the content, in hexadecimal; an extension of Coffer. */
  sha256?: string
  /** What the content is; an extension of Coffer. */
  mime_type?: string
  /** How many lines of JSON there are, where they were checked; an extension of Coffer. */
  num_lines?: number | null
  /** How many tokens of o200k_base the text has, where they were counted; an extension of Coffer. */
  tokens?: number
  [field: string]: unknown
}

/** What an upload of a file would find wrong with it; an extension of Coffer. */
export interface FileCheck {
  object?: Open<'file.check'>
  /** Whether the file could be uploaded. */
  valid: boolean
  purpose: Open<UploadPurpose>
  filename: string
  bytes: number
  /** Of the content, in hexadecimal. */
  sha256: string
  /** What the content is. */
  mime_type: string
  /** How many lines of JSON there are, or null. */
  num_lines: number | null
  /** How many tokens of o200k_base the texts have; null where they were not counted. */
  tokens: number | null
  /** How many requests of a batch there are of each model; null for other purposes. */
  models: Record<string, number> | null
  /** The first hundred faults. */
  details: ContentFault[]
  /** How many faults there are in all. */
  details_total: number
  [field: string]: unknown
}

/** One page of files. */
export interface ListFilesResponse {
  object?: Open<'list'>
  data: OpenAIFile[]
  first_id?: string | null
  last_id?: string | null
  has_more?: boolean
  [field: string]: unknown
}

/** What is left of a deleted file. */
export interface DeleteFileResponse {
  id: string
  object?: Open<'file'>
  deleted: boolean
  [field: string]: unknown
}

/** A file to be, whose content comes in parts. */
export interface Upload {
  id: string
  object?: Open<'upload'>
  bytes: number
  /** In Unix seconds. */
  created_at: number
  filename: string
  purpose: Open<Purpose>
  status: Open<'pending' | 'completed' | 'cancelled' | 'expired'>
  /** In Unix seconds; no part is taken from then on. */
  expires_at: number
  /** What a completed Upload became. */
  file?: OpenAIFile | null
  [field: string]: unknown
}

/** A part of an Upload that has arrived. */
export interface UploadPart {
  id: string
  object?: Open<'upload.part'>
  /** In Unix seconds. */
  created_at: number
  upload_id: string
  /** An extension of Coffer. */
  bytes?: number
  /** In hexadecimal; an extension of Coffer. */
  sha256?: string
  [field: string]: unknown
}

/** One page of parts, in the order in which they came. */
export interface ListUploadPartsResponse {
  object?: Open<'list'>
  data: UploadPart[]
  first_id?: string | null
  last_id?: string | null
  has_more?: boolean
  [field: string]: unknown
}

export function readUploadModel(value: unknown): Upload {
  if (isRecord(value) && typeof value['id'] === 'string') return value as Upload
  throw new UnexpectedAnswerException('The server answered with something that is no Upload.')
}

export function readUploadPartModel(value: unknown): UploadPart {
  if (isRecord(value) && typeof value['id'] === 'string') return value as UploadPart
  throw new UnexpectedAnswerException('The server answered with something that is no part.')
}

export function readUploadPartsModel(value: unknown): ListUploadPartsResponse {
  if (isRecord(value) && Array.isArray(value['data'])) {
    return { ...value, data: value['data'].map(readUploadPartModel) }
  }
  throw new UnexpectedAnswerException(
    'The server answered with something that is no list of parts.',
  )
}

export function readFileModel(value: unknown): OpenAIFile {
  if (isRecord(value) && typeof value['id'] === 'string') return value as OpenAIFile
  throw new UnexpectedAnswerException('The server answered with something that is no file.')
}

export function readCheckModel(value: unknown): FileCheck {
  if (isRecord(value) && typeof value['valid'] === 'boolean') {
    return { ...(value as FileCheck), ...readFaults(value) }
  }
  throw new UnexpectedAnswerException(
    'The server answered with something that is no check of a file.',
  )
}

export function readListModel(value: unknown): ListFilesResponse {
  if (isRecord(value) && Array.isArray(value['data'])) {
    return { ...value, data: value['data'].map(readFileModel) }
  }
  throw new UnexpectedAnswerException(
    'The server answered with something that is no list of files.',
  )
}

export function readDeletedModel(value: unknown, fileId: string): DeleteFileResponse {
  // Azure answers with 204.
  if (value === undefined) return { id: fileId, deleted: true }
  if (isRecord(value) && typeof value['id'] === 'string') {
    return { ...value, id: value['id'], deleted: value['deleted'] === true }
  }
  throw new UnexpectedAnswerException('The server did not say that the file is deleted.')
}
