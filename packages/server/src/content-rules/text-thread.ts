/** The thread behind `texts.ts`: draws the text from one file at a time, and counts its tokens. */

import { serveCalls } from '../threads/serve-calls.ts'
import { decodeText } from './decoded-text.ts'
import { type RandomAccess, readInOrder } from './document-content.ts'
import { DocumentError, readDocumentText } from './document-text.ts'
import { readJsonTexts } from './json-texts.ts'
import type { TextOutcome, TextTask } from './texts.ts'
import { createTokenCounter } from './token-count.ts'

const MiB = 1024 * 1024

/** Of a book of a thousand pages there are ten. */
const mostPages = 10_000

const mostUnpackedBytes = 1024 * MiB

const { ask } = serveCalls({ count })

async function count(task: TextTask): Promise<TextOutcome> {
  try {
    return await countTokens(readText(task), task)
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error
    return { failure: { code: error.code, message: error.message } }
  }
}

/** No tokens are counted where the size of the text decides: each of them takes a byte at least. */
async function countTokens(
  text: AsyncIterable<string>,
  { kind, maxTokens, countsAlways }: TextTask,
): Promise<TextOutcome> {
  const counter = createTokenCounter(maxTokens)
  let held: string[] = []
  let bytes = 0
  for await (const piece of text) {
    bytes += Buffer.byteLength(piece)
    held.push(piece)
    if (!countsAlways && bytes <= maxTokens) continue
    for (const one of held) {
      counter.add(one)
      // Their pieces are texts of their own.
      if (kind === 'json-lines') counter.endText()
    }
    held = []
    if (counter.isOver()) break
  }
  if (!countsAlways && bytes <= maxTokens) return { tokens: undefined, isOver: false }
  const tokens = counter.count()
  return { tokens, isOver: counter.isOver() }
}

function readText({ kind, bytes }: TextTask): AsyncIterable<string> {
  const content: RandomAccess = {
    bytes,
    read: async (start, end) => (await ask({ start, end })) as Uint8Array,
  }
  switch (kind) {
    case 'text':
      return decodeText(readInOrder(content, MiB))
    case 'json-lines':
      return readJsonTexts(readInOrder(content, MiB))
    default:
      return readDocumentText(kind, content, {
        pages: mostPages,
        unpackedBytes: mostUnpackedBytes,
      })
  }
}
