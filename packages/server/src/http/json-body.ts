/** Bodies of JSON, read with the vendor's words for each fault (contract §2.7). */

import { safeParse } from 'fast-content-type-parse'
import type { FastifyRequest } from 'fastify'
import { hasControlCharacters } from '../service/control-characters.ts'
import {
  checkInteger,
  contentTypeUnsupported,
  jsonMalformed,
  parameterMissing,
  parameterTypeInvalid,
  parameterUnknown,
  ServiceError,
  stringTooLong,
  valueInvalid,
} from '../service/errors.ts'
import { readBody } from './body-source.ts'

const MiB = 1024 * 1024

/** More than the ids of all parts of the largest Upload, each of a MiB, take. */
const bodyBytes = MiB

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * The object that the body of a request is.
 *
 * @param known the parameters that it may have.
 * @throws ServiceError, and what reading the body throws.
 */
export async function readJsonObject(
  request: FastifyRequest,
  known: readonly string[],
): Promise<JsonObject> {
  const header = request.headers['content-type'] ?? ''
  if (safeParse(header).type !== 'application/json') {
    throw contentTypeUnsupported(header, 'application/json')
  }
  const body = parse(await readWhole(request))
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw jsonMalformed()
  for (const name of Object.keys(body)) if (!known.includes(name)) throw parameterUnknown(name)
  // None of the known names is that of a property of every object.
  return body as JsonObject
}

async function readWhole(request: FastifyRequest): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of readBody(request.raw)) {
    bytes += piece.length
    if (bytes > bodyBytes) {
      throw new ServiceError('json_malformed', `The body exceeds ${bodyBytes} bytes.`)
    }
    pieces.push(Uint8Array.from(piece))
  }
  return Buffer.concat(pieces)
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw jsonMalformed(cause)
  }
}

/** @param mostLength in UTF-16 code units; any by default. */
export function takeString(value: unknown, param: string, mostLength?: number): string {
  if (value === undefined) throw parameterMissing(param)
  if (typeof value !== 'string') throw parameterTypeInvalid(param, 'a string', value)
  if (mostLength !== undefined && value.length > mostLength) {
    throw stringTooLong(param, value.length, mostLength)
  }
  return value
}

/** A string that is shown as it is. @param mostLength in UTF-16 code units. */
export function takeLine(value: unknown, param: string, mostLength: number): string {
  const line = takeString(value, param, mostLength)
  if (hasControlCharacters(line)) throw valueInvalid(param, 'a text without control characters')
  return line
}

export function takeInteger(
  value: unknown,
  param: string,
  bounds: { least: number; most: number },
): number {
  if (value === undefined) throw parameterMissing(param)
  if (!Number.isSafeInteger(value)) throw parameterTypeInvalid(param, 'an integer', value)
  return checkInteger(param, String(value), bounds)
}
