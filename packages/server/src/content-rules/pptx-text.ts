/** The text of a presentation: each slide, then its notes. */

import type { DocumentLimits, RandomAccess } from './document-content.ts'
import { openOffice } from './office-parts.ts'
import { readParagraphs } from './paragraph-text.ts'
import { readReferences } from './references.ts'

/** @throws DocumentError */
export async function* readPptxText(
  content: RandomAccess,
  limits: DocumentLimits,
): AsyncGenerator<string> {
  const office = await openOffice(content, limits, 'presentation')
  for await (const slide of readReferences(office, 'sldId')) {
    yield* readParagraphs(office.read(slide))
    for (const { type, part } of await office.relations(slide)) {
      if (type === 'notesSlide') yield* readParagraphs(office.read(part))
    }
  }
}
