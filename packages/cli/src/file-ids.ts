/** The ids that a command is given, on its line or on standard input. */

import { text } from 'node:stream/consumers'
import { type Io, WrongUse } from './program.ts'

/**
 * `-` stands for the first word of each line of standard input, so that what one command prints
 * another can read. An id given twice counts once.
 *
 * @throws WrongUse if there is none.
 */
export async function readFileIds(given: readonly string[], { stdin }: Io): Promise<string[]> {
  const ids: string[] = []
  for (const word of given) {
    if (word !== '-') ids.push(word)
    else ids.push(...firstWords(await text(stdin)))
  }
  if (ids.length === 0) throw new WrongUse('Which files? Give their ids, or - to read them.')
  return [...new Set(ids)]
}

function firstWords(lines: string): string[] {
  return lines.split('\n').flatMap((line) => line.match(/\S+/)?.slice(0, 1) ?? [])
}
