/** The text of a page, as one who looks at it would copy it. */

import { decodeText } from './decoded-text.ts'
import {
  createAllowance,
  type DocumentLimits,
  pieceLength,
  type RandomAccess,
  readInOrder,
} from './document-content.ts'
import { createMarkupParser } from './markup.ts'

const unseen = new Set(['script', 'style', 'template', 'noscript', 'iframe', 'noembed', 'noframes'])

/** Where spaces and ends of lines are seen as they stand. */
const verbatim = new Set(['pre', 'textarea', 'listing', 'plaintext', 'xmp'])

const cells = new Set(['td', 'th'])

/** Those that begin and end a line. */
const blocks = new Set(
  `address article aside blockquote body br button caption center dd details dialog dir div dl dt
  fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li
  listing main menu nav ol optgroup option p plaintext pre search section select summary table
  tbody textarea tfoot thead title tr ul xmp`.split(/\s+/),
)

const readBytes = 64 * 1024

/** @throws DocumentError */
export async function* readHtmlText(
  content: RandomAccess,
  limits: DocumentLimits,
): AsyncGenerator<string> {
  const allowance = createAllowance(limits)
  const flow = createFlow()
  let unseenDepth = 0
  let verbatimDepth = 0
  const parser = createMarkupParser('html', {
    open(name, attributes) {
      if (unseenDepth > 0 || unseen.has(name) || 'hidden' in attributes) unseenDepth += 1
      if (verbatim.has(name)) verbatimDepth += 1
      flow.separate(separatorOf(name))
    },
    close(name) {
      if (unseenDepth > 0) unseenDepth -= 1
      if (verbatim.has(name)) verbatimDepth -= 1
      flow.separate(separatorOf(name))
    },
    text(text) {
      if (unseenDepth === 0) flow.add(text, verbatimDepth > 0)
    },
  })
  for await (const text of decodeText(readInOrder(content, readBytes))) {
    parser.write(text)
    if (flow.length() < pieceLength) continue
    allowance.take(flow.length())
    yield flow.take()
  }
  parser.end()
  if (flow.length() > 0) yield flow.take()
}

function separatorOf(name: string): '' | '\t' | '\n' {
  if (cells.has(name)) return '\t'
  return blocks.has(name) ? '\n' : ''
}

/** Text in which spaces are as they are seen: one between words, none at the ends of lines. */
function createFlow() {
  let text = ''
  let hasBegun = false
  /** Stands before the next word, if one comes. */
  let gap = ''

  function separate(separator: '' | ' ' | '\t' | '\n'): void {
    if (rank(separator) > rank(gap)) gap = separator
  }

  function addWord(word: string): void {
    if (word === '') return
    text += hasBegun ? gap + word : word
    hasBegun = true
    gap = ''
  }

  return {
    separate,
    add(added: string, isVerbatim: boolean): void {
      if (isVerbatim) {
        addWord(added)
        return
      }
      const words = added.replaceAll(/[ \t\n\f\r]+/g, ' ')
      if (words.startsWith(' ')) separate(' ')
      addWord(words.slice(words.startsWith(' ') ? 1 : 0, words.endsWith(' ') ? -1 : undefined))
      if (words.endsWith(' ')) separate(' ')
    },
    length: () => text.length,
    take(): string {
      const taken = text
      text = ''
      return taken
    },
  }
}

function rank(separator: string): number {
  return ['', ' ', '\t', '\n'].indexOf(separator)
}
