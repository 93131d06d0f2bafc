/** The parts to which the main part of a document refers, in the order in which it does. */

import { damaged } from './document-error.ts'
import type { OfficeParts } from './office-parts.ts'

/**
 * @param element which has the id of a relation in an attribute, as `r:id`. Sections of a presentation
 *   list its slides under the same name once more, without.
 */
export async function* readReferences(
  office: OfficeParts,
  element: string,
): AsyncGenerator<string> {
  const relations = await office.relations(office.main)
  const parts = new Map(relations.map(({ id, part }) => [id, part]))
  for await (const events of office.read(office.main)) {
    for (const event of events) {
      if (event.type !== 'open' || event.name !== element) continue
      const id = Object.entries(event.attributes).find(([name]) => name.endsWith(':id'))?.[1]
      if (id === undefined || id === '') continue
      const part = parts.get(id)
      if (part === undefined) throw damaged('it refers to a part that it does not have')
      yield part
    }
  }
}
