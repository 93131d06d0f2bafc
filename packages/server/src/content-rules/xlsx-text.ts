/** The text of a workbook: what the cells of each sheet hold, row by row. */

import {
  type Allowance,
  type DocumentLimits,
  pieceLength,
  type RandomAccess,
} from './document-content.ts'
import { damaged } from './document-error.ts'
import { openOffice } from './office-parts.ts'
import { readReferences } from './references.ts'
import { createSharedTexts, type SharedTexts } from './shared-texts.ts'
import type { XmlEvent } from './xml-events.ts'

/** Excel keeps 32,767 in a cell; others are laxer. */
const mostCellLength = 1024 * 1024

/**
 * Numbers and dates are yielded as they are kept, not as their format shows them.
 *
 * @throws DocumentError
 */
export async function* readXlsxText(
  content: RandomAccess,
  limits: DocumentLimits,
): AsyncGenerator<string> {
  const office = await openOffice(content, limits, 'workbook')
  const texts = createSharedTexts()
  for (const { type, part } of await office.relations(office.main)) {
    if (type === 'sharedStrings') await keepTexts(texts, office.read(part))
  }
  for await (const sheet of readReferences(office, 'sheet')) {
    yield* readCells(office.read(sheet), texts, office.allowance)
  }
}

async function keepTexts(
  texts: SharedTexts,
  batches: AsyncIterable<readonly XmlEvent[]>,
): Promise<void> {
  const held = createHeldText()
  for await (const events of batches) {
    for (const event of events) {
      held.watch(event)
      if (event.type === 'close' && event.name === 'si') texts.add(held.take())
    }
  }
}

async function* readCells(
  batches: AsyncIterable<readonly XmlEvent[]>,
  texts: SharedTexts,
  allowance: Allowance,
): AsyncGenerator<string> {
  const held = createHeldText()
  let text = ''
  let type = ''
  /** Between the first cell of a row and the next. */
  let separator = ''

  /** @param cell what it holds, by its type (ECMA-376 part 1, §18.18.11). */
  function textOf(cell: string): string {
    if (type === 'b') return cell === '1' ? 'TRUE' : 'FALSE'
    if (type !== 's') return cell
    const size = texts.sizeOf(Number(cell))
    if (size === undefined) throw damaged('a cell has a text that the workbook does not have')
    // A text is unpacked once, and said as often as cells have it.
    allowance.take(size)
    return texts.get(Number(cell))
  }

  for await (const events of batches) {
    for (const event of events) {
      held.watch(event)
      if (event.type === 'open' && event.name === 'c') type = event.attributes['t'] ?? 'n'
      if (event.type !== 'close') continue
      if (event.name === 'c') {
        const cell = held.take()
        if (cell === '') continue
        text += separator + textOf(cell)
        separator = '\t'
      } else if (event.name === 'row' && separator !== '') {
        text += '\n'
        separator = ''
      }
      if (text.length < pieceLength) continue
      yield text
      text = ''
    }
  }
  if (text !== '') yield text
}

/** What a cell or a shared text holds, without how it is to be pronounced. */
function createHeldText() {
  let text = ''
  let isText = false
  let isPhonetic = false
  return {
    watch(event: XmlEvent): void {
      if (event.type === 'text') {
        if (isText && !isPhonetic) text += event.text
        if (text.length > mostCellLength) throw damaged('a cell of it holds more than a cell can')
      } else if (event.name === 't' || event.name === 'v') isText = event.type === 'open'
      else if (event.name === 'rPh') isPhonetic = event.type === 'open'
    },
    take(): string {
      const taken = text
      text = ''
      return taken
    },
  }
}
