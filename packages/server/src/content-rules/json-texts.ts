/** The texts in lines of JSON that a model would read or write, without what is written around them. */

import { mostLineBytes, watchLines } from './json-lines.ts'
import { hasTooManyMembers, isObject, parseObject } from './json-objects.ts'

/** The names under which requests and training examples have text. */
const textNames = new Set([
  ...['content', 'text', 'prompt', 'completion', 'input', 'instructions', 'arguments', 'refusal'],
])

/** How deep texts are looked for: they lie a few levels deep. */
const mostLevels = 32

/** Yields each text as a whole. */
export async function* readJsonTexts(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let texts: string[] = []
  const watch = watchLines({ mostBytes: mostLineBytes, dropsMark: true }, (line) => {
    if (line.isTooLong || hasTooManyMembers(line)) return
    // Not spread: a line may have a million.
    for (const text of textsIn(parseObject(line), false, mostLevels)) texts.push(text)
  })
  for await (const piece of pieces) {
    watch.add(piece)
    yield* texts
    texts = []
  }
  watch.end()
  yield* texts
}

function* textsIn(value: unknown, isText: boolean, levels: number): Generator<string> {
  if (typeof value === 'string') {
    if (isText) yield value
  } else if (levels === 0) {
    return
  } else if (Array.isArray(value)) {
    for (const item of value) yield* textsIn(item, isText, levels - 1)
  } else if (isObject(value)) {
    for (const [name, item] of Object.entries(value)) {
      yield* textsIn(item, textNames.has(name), levels - 1)
    }
  }
}
