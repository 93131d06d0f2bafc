/** The text of a Word document: its body, then what stands around it and is noted on it. */

import type { DocumentLimits, RandomAccess } from './document-content.ts'
import { openOffice } from './office-parts.ts'
import { readParagraphs } from './paragraph-text.ts'

const around = ['header', 'footer', 'footnotes', 'endnotes', 'comments']

/** @throws DocumentError */
export async function* readDocxText(
  content: RandomAccess,
  limits: DocumentLimits,
): AsyncGenerator<string> {
  const office = await openOffice(content, limits, 'document')
  yield* readParagraphs(office.read(office.main))
  const relations = await office.relations(office.main)
  for (const wanted of around) {
    for (const { type, part } of relations) {
      // Programs leave relations behind to what they have removed.
      if (type === wanted && office.has(part)) yield* readParagraphs(office.read(part))
    }
  }
}
