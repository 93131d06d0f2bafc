/** The ids that a command is given, on its line or on standard input. */

import { text } from 'node:stream/consumers'
import { printable } from './printable.ts'
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
  const read = given.includes('-') ? idsOf(await text(stdin)) : []
  const ids = given.flatMap((word) => (word === '-' ? read : [word])).filter((id) => id !== '')
  if (ids.length === 0) throw new WrongUse('Which files? Give their ids, or - to read them.')
  return [...new Set(ids)]
}

function idsOf(lines: string): string[] {
  return lines.split('\n').flatMap((line) => {
    if (line.trimStart().startsWith('{')) return idOfJson(line)
    const [word = ''] = line.trim().split(/\s+/)
    return word === '' || word === tableHead ? [] : [word]
  })
}

function idOfJson(line: string): string {
  try {
    const value: unknown = JSON.parse(line)
    if (
      typeof value === 'object' &&
      value !== null &&
      'id' in value &&
      typeof value.id === 'string'
    ) {
      return value.id
    }
  } catch (cause) {
    throw new WrongUse(`Standard input has a line that is no JSON: ${excerpt(line)}`, { cause })
  }
  throw new WrongUse(`Standard input has a line without an id: ${excerpt(line)}`)
}

function excerpt(line: string): string {
  return printable(line.trim().slice(0, 40))
}
