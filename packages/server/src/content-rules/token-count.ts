/** How many tokens of o200k_base a text has that comes in pieces. */

import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'

const KiB = 1024

/** Characters that are counted at once. */
const chunkLength = 64 * KiB

/**
 * A run of one kind of characters, of which the encoding makes one word: it takes time that grows with
 * the square of its length (measured: 300,000 of one letter take 90 seconds), so it is counted in
 * parts. Natural words are shorter; a longer run may come to a token more for each part.
 */
const longRun = /[\p{L}\p{M}]{512}|[^\s\p{L}\p{N}]{512}|\s{512}/gu

/** Before a word with its space, or after a line's end, where the encoding begins a new word. */
const wordStart = /(?= [A-Za-z])|(?<=\n)(?=[A-Za-z0-9])/g

export interface TokenCounter {
  /** The pieces may be cut between any two characters. */
  add(text: string): void
  /** Says that what comes next is another text, of which no token begins here. */
  endText(): void
  /** How many there are, or have been found if there are more than `most`. */
  count(): number
  /** Whether there are more than `most`, after which nothing is counted. */
  isOver(): boolean
}

export function createTokenCounter(most: number): TokenCounter {
  let pending = ''
  let found = 0

  function take(text: string): void {
    for (const part of withoutLongRuns(text)) {
      if (found > most) return
      // Content is text, also where it has the names of special tokens.
      found += countTokens(part, { disallowedSpecial: new Set() })
    }
  }

  function endText(): void {
    take(pending)
    pending = ''
  }

  return {
    add(text) {
      if (found > most) return
      pending += text
      while (pending.length > chunkLength && found <= most) {
        const cut = lastWordStart(pending.slice(0, chunkLength))
        take(pending.slice(0, cut))
        pending = pending.slice(cut)
      }
    },
    endText,
    count() {
      endText()
      return found
    },
    isOver: () => found > most,
  }
}

/** Where the last word begins; the end if there is no such place, but never inside a character. */
function lastWordStart(text: string): number {
  let last = 0
  for (const { index } of text.matchAll(wordStart)) last = index
  if (last > 0) return last
  return isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length
}

function* withoutLongRuns(text: string): Generator<string> {
  let from = 0
  for (const { index, 0: run } of text.matchAll(longRun)) {
    const end = index + run.length
    yield text.slice(from, end)
    from = end
  }
  if (from < text.length) yield text.slice(from)
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00
}
