/** XML pulled as what happens in it, for documents whose prefixes of names mean nothing. */

import { decodeText } from './decoded-text.ts'
import { createMarkupParser } from './markup.ts'

export type XmlEvent =
  | {
      readonly type: 'open'
      /** Without its prefix, as all names of elements. */
      readonly name: string
      /** With theirs. */
      readonly attributes: Readonly<Record<string, string>>
    }
  | { readonly type: 'close'; readonly name: string }
  /** A part of one, it may be. */
  | { readonly type: 'text'; readonly text: string }

/** Yields the events of a piece at once. @throws DocumentError `damaged` */
export async function* readXml(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly XmlEvent[]> {
  let events: XmlEvent[] = []
  const parser = createMarkupParser('xml', {
    open: (name, attributes) =>
      void events.push({ type: 'open', name: withoutPrefix(name), attributes }),
    close: (name) => void events.push({ type: 'close', name: withoutPrefix(name) }),
    text: (text) => void events.push({ type: 'text', text }),
  })
  for await (const text of decodeText(pieces)) {
    parser.write(text)
    yield events
    events = []
  }
  parser.end()
}

function withoutPrefix(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}
