/** The text of paragraphs, as documents and slides both have them (ECMA-376 part 1, §17 and §21). */

import { pieceLength } from './document-content.ts'
import type { XmlEvent } from './xml-events.ts'

/**
 * Tells what holds no text of the document's own: tab stops stand among properties, a fallback says
 * again what stands before it, and moved text is in its new place too.
 */
function isUnread(event: XmlEvent & { type: 'open' }): boolean {
  if (event.name === 'fld') return event.attributes['type'] === 'slidenum'
  return ['pPr', 'rPr', 'Fallback', 'moveFrom'].includes(event.name)
}

const signs = new Map([
  ['tab', '\t'],
  ['br', '\n'],
  ['cr', '\n'],
  ['noBreakHyphen', '\u2011'],
])

export async function* readParagraphs(
  batches: AsyncIterable<readonly XmlEvent[]>,
): AsyncGenerator<string> {
  let text = ''
  let isText = false
  /** How deep it is within something unread. */
  let unreadDepth = 0
  for await (const events of batches) {
    for (const event of events) {
      if (event.type === 'text') {
        if (isText && unreadDepth === 0) text += event.text
        continue
      }
      if (event.name === 't') isText = event.type === 'open'
      if (event.type === 'open') {
        if (unreadDepth > 0 || isUnread(event)) unreadDepth += 1
        else text += signs.get(event.name) ?? ''
      } else if (unreadDepth > 0) unreadDepth -= 1
      else if (event.name === 'p') text += '\n'
    }
    if (text.length < pieceLength) continue
    yield text
    text = ''
  }
  if (text !== '') yield text
}
