/** Lines as JSON objects. */

import type { Line } from './json-lines.ts'

export type JsonObject = { readonly [key: string]: unknown }

/**
 * How many names, objects and arrays a line may have: with as many as 16 MiB can write, reading it
 * would take gigabytes of memory.
 */
export const mostMembers = 1_000_000

/** The object that a line is; undefined if it is none. What is not UTF-8 is for others to find. */
export function parseObject({ source, start, end, isAscii }: Line): JsonObject | undefined {
  let value: unknown
  try {
    // Of ASCII this means the same, and takes half the time (measured).
    value = JSON.parse(source.toString(isAscii ? 'latin1' : 'utf8', start, end))
  } catch {
    return undefined
  }
  return isObject(value) ? value : undefined
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Its own only: content may name whatever every object has. */
export function ownValue(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

const [quote, backslash, colon, brace, bracket] = [0x22, 0x5c, 0x3a, 0x7b, 0x5b]

/** Whether a line has more members than may be, told without reading it as JSON. */
export function hasTooManyMembers({ source, start, end }: Line): boolean {
  // Each takes a byte at least.
  if (end - start <= mostMembers) return false
  let members = 0
  for (let at = start; at < end; at += 1) {
    const byte = source[at]
    if (byte === quote) {
      at = endOfString(source, at, end)
    } else if (byte === colon || byte === brace || byte === bracket) {
      members += 1
      if (members > mostMembers) return true
    }
  }
  return false
}

/** Where the string ends that begins at `start`; `end` if it does not. */
function endOfString(source: Buffer, start: number, end: number): number {
  for (let at = source.indexOf(quote, start + 1); at !== -1; at = source.indexOf(quote, at + 1)) {
    let backslashes = 0
    while (source[at - 1 - backslashes] === backslash) backslashes += 1
    if (backslashes % 2 === 0) return Math.min(at, end)
  }
  return end
}
