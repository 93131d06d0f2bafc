/** Names and ids that a server gives, as names on this machine's disk. */

import { createHash } from 'node:crypto'
import { printable } from './printable.ts'

/** What file systems allow. */
const mostBytes = 255
const mostEndingBytes = 20

/** The server's name of the file, as a name in the folder and nowhere else. */
export function toName(filename: string, id: string): string {
  const name = printable(filename.replace(/^.*[/\\]/s, ''))
  return name === '' || name === '.' || name === '..' ? toName(id, 'file') : name
}

/** As `toName`, and one that every file system takes, so that a folder can be carried elsewhere. */
export function toPortableName(filename: string, id: string): string {
  const name = toName(filename.toWellFormed(), id)
    .replace(/[<>:"|?*]/g, '_')
    // Windows leaves them away.
    .replace(/[. ]+$/, '_')
  // Windows has devices of these names, whatever the ending.
  const isDevice = /^(con|prn|aux|nul|com\d|lpt\d) *(\.|$)/i.test(name)
  return shorten(isDevice ? `_${name}` : name)
}

/** Leaves its ending, which tells what it is, if that is short. */
function shorten(name: string): string {
  if (Buffer.byteLength(name) <= mostBytes) return name
  const dot = name.lastIndexOf('.')
  const ending = dot > 0 ? name.slice(dot) : ''
  const kept = Buffer.byteLength(ending) <= mostEndingBytes ? ending : ''
  const room = mostBytes - Buffer.byteLength(kept)
  let start = ''
  for (const character of name.slice(0, name.length - kept.length)) {
    if (Buffer.byteLength(start + character) > room) break
    start += character
  }
  return start + kept
}

/**
 * The id, where it is one on every file system; else something like it with a part of its digest,
 * also where a disk that takes a and A for the same could take it for another's.
 */
export function toIdName(id: string): string {
  if (/^[a-z\d_-]{1,100}$/.test(id) || /^[\w-]{20,100}$/.test(id)) return id
  const digest = createHash('sha256').update(id).digest('hex').slice(0, 16)
  return `${id.replace(/[^\w-]+/g, '_').slice(0, 40)}-${digest}`
}
