/** XML and HTML told as they pass, whatever they are made to hold. */

import { Parser } from 'htmlparser2'
import { damaged } from './document-error.ts'

/** The parser moves all open elements for each that it opens. */
const mostDepth = 20_000

/** Of a tag or a comment, which the parser holds whole, in UTF-16 units. */
const mostHeld = 32 * 1024 * 1024

export interface MarkupHandler {
  open(name: string, attributes: Readonly<Record<string, string>>): void
  /** Called for each element, also for one that is never closed. */
  close(name: string): void
  /** Any part of a text; entities that only the document itself defines stay as they are. */
  text(text: string): void
}

export interface MarkupParser {
  /** @throws DocumentError `damaged`, or what the handler throws. */
  write(text: string): void
  end(): void
}

export function createMarkupParser(kind: 'xml' | 'html', handler: MarkupHandler): MarkupParser {
  let depth = 0
  /** Since the handler was last told of anything. */
  let held = 0

  const parser = new Parser(
    {
      onopentag(name, attributes) {
        held = 0
        depth += 1
        if (depth > mostDepth) throw damaged(`its elements are nested more than ${mostDepth} deep`)
        handler.open(name, attributes)
      },
      onclosetag(name) {
        held = 0
        depth -= 1
        handler.close(name)
      },
      ontext(text) {
        held = 0
        handler.text(text)
      },
      oncommentend() {
        held = 0
      },
    },
    { xmlMode: kind === 'xml', decodeEntities: true },
  )

  return {
    write(text) {
      held += text.length
      if (held > mostHeld) throw damaged(`a tag in it is longer than ${mostHeld} characters`)
      parser.write(text)
    },
    end() {
      if (kind === 'xml' && depth > 0) throw damaged('its XML ends too early')
      parser.end()
    },
  }
}
