/** The ids that a command is given, on its line or on standard input. */

import { text } from 'node:stream/consumers'
import { type Io, WrongUse } from './program.ts'

/** Begins the first line of what `coffer list` prints. */
const tableHead = 'ID'

/**
 * `-` stands for the first word of each line of standard input, or the id of each line of JSON, so
 * that what one command prints another can read. An id given twice counts once.
 *
 * @throws WrongUse if there is none.
 */
export async function readFileIds(given: readonly string[], { stdin }: Io): Promise<string[]> {
  const ids: string[] = []
  for (const word of given) {
    if (word !== '-') ids.push(word)
    else ids.push(...idsOf(await text(stdin)))
  }
  if (ids.length === 0) throw new WrongUse('Which files? Give their ids, or - to read them.')
  return [...new Set(ids)]
}

function idsOf(lines: string): string[] {
  return lines.split('\n').flatMap((line) => {
    if (line.startsWith('{')) return idOfJson(line)
    const [word = ''] = line.trim().split(/\s+/)
    return word === '' || word === tableHead ? [] : [word]
  })
}

function idOfJson(line: string): string {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null && 'id' in value) return String(value.id)
  } catch (cause) {
    throw new WrongUse(`This line is no JSON: ${line.slice(0, 40)}`, { cause })
  }
  throw new WrongUse(`This line names no id: ${line.slice(0, 40)}`)
}
