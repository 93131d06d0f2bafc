/** What creates and completes an Upload, as JSON (contract §1.6, §1.8). */

import { limits, UploadPurpose } from '@coffer/contract'
import type { FastifyRequest } from 'fastify'
import {
  anchorInvalid,
  arrayTooLong,
  parameterInvalid,
  parameterTypeInvalid,
  parameterUnknown,
  valueInvalid,
} from '../service/errors.ts'
import { toFilename } from '../service/filename.ts'
import type { Completion, NewUpload } from '../service/uploads.ts'
import { readJsonObject, takeInteger, takeLine, takeString } from './json-body.ts'

/** @param maxBytes of one Upload. */
export async function readNewUpload(request: FastifyRequest, maxBytes: number): Promise<NewUpload> {
  const body = await readJsonObject(request, [
    ...['filename', 'purpose', 'bytes', 'mime_type', 'expires_after'],
  ])
  return {
    filename: toFilename(takeString(body['filename'], 'filename')),
    purpose: toPurpose(takeString(body['purpose'], 'purpose')),
    bytes: takeInteger(body['bytes'], 'bytes', { least: 0, most: maxBytes }),
    mimeType: takeLine(body['mime_type'], 'mime_type', limits.mimeTypeLength),
    expiresAfter: toExpiresAfter(body['expires_after']),
  }
}

export async function readCompletion(request: FastifyRequest): Promise<Omit<Completion, 'signal'>> {
  const body = await readJsonObject(request, ['part_ids', 'md5'])
  return { partIds: toPartIds(body['part_ids']), md5: toMd5(body['md5']) }
}

export function toPurpose(value: string): UploadPurpose {
  const { success, data } = UploadPurpose.safeParse(value)
  if (!success) throw parameterInvalid('purpose', value, UploadPurpose.options)
  return data
}

/** The SDKs leave out what they are not given, and may write null for it. */
function toExpiresAfter(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw parameterTypeInvalid('expires_after', 'an object', value)
  }
  const { anchor, seconds, ...others } = value as Readonly<Record<string, unknown>>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw parameterUnknown(`expires_after.${unknown}`)
  const given = takeString(anchor, 'expires_after.anchor')
  if (given !== 'created_at') throw anchorInvalid(given)
  return takeInteger(seconds, 'expires_after.seconds', limits.expiresAfterSeconds)
}

function toPartIds(value: unknown): string[] {
  if (!Array.isArray(value)) {
    if (value === undefined) takeString(value, 'part_ids')
    throw parameterTypeInvalid('part_ids', 'an array of strings', value)
  }
  const most = limits.uploadParts
  if (value.length > most) throw arrayTooLong('part_ids', value.length, most)
  return value.map((id: unknown, at) => takeString(id, `part_ids[${at}]`))
}

/** In hexadecimal or, as in the header Content-MD5, in Base64. @returns hexadecimal. */
function toMd5(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  const text = takeString(value, 'md5')
  if (/^[0-9a-f]{32}$/i.test(text)) return text.toLowerCase()
  if (/^[A-Za-z0-9+/]{22}==$/.test(text)) return Buffer.from(text, 'base64').toString('hex')
  throw valueInvalid('md5', '32 hexadecimal digits, or Base64')
}
