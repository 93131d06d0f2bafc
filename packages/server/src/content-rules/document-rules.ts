/** What files for `assistants` have to be: their types, their encoding, their tokens (contract §6.4). */

import { type Fault, ofContent } from './fault.ts'
import { noFaults, oneFault } from './fault-list.ts'
import {
  assistantsType,
  type ContentKind,
  extensionOf,
  hasUtf16Mark,
  isOfKind,
  kindOfType,
  typeOfHead,
  uploadExtensions,
} from './file-types.ts'
import type { Texts, TextTask } from './texts.ts'
import { type Opinion, readHead, type WholeContent } from './whole-content.ts'

export interface DocumentRules {
  /** Of o200k_base, in the text of one file. */
  readonly maxFileTokens: number
  readonly texts: Texts
}

/** Of a file whose extension is known, or that has none. */
export async function judgeDocument(
  content: WholeContent,
  { maxFileTokens, texts }: DocumentRules,
): Promise<Opinion> {
  const { filename, bytes, encoding, read, countsTokens, asker } = content
  const head = await readHead(content)
  const found = await typeOfHead(head)
  const extension = extensionOf(filename).toLowerCase()
  const isText = encoding === 'utf-8' || hasUtf16Mark(head)
  const bare = kindOfType(found) ?? (isText ? assistantsType('txt') : undefined)
  const type = extension === '' ? bare : assistantsType(extension)
  if (type === undefined) return { faults: oneFault(badExtension(extension)) }

  const { kind } = type
  const mimeType = kind === 'image' ? found : type.mime
  const fail = (fault: Fault) => ({ mimeType, faults: oneFault(fault) })
  if (!isOfKind(kind, head, found)) return fail(notOfType(extension, found))
  const isTextual = kind === 'text' || kind === 'html'
  if (isTextual && !isText) return fail(notText(extension))
  const textKind = textKindOf(kind)
  // Of what is text already, the size may tell that there are not too many tokens.
  const isDecided = isTextual && encoding === 'utf-8' && bytes <= maxFileTokens && !countsTokens
  if (textKind === undefined || isDecided) return { mimeType, faults: noFaults }

  const task = { kind: textKind, bytes, maxTokens: maxFileTokens, countsAlways: countsTokens }
  const outcome = await texts.count(task, read, asker)
  if ('failure' in outcome) {
    const { code, message } = outcome.failure
    return fail(ofContent(code, message, 'a file whose text can be read'))
  }
  if (outcome.isOver) return fail(tooManyTokens(maxFileTokens))
  return { mimeType, tokens: outcome.tokens, faults: noFaults }
}

/** How the text of a kind is read; undefined if it has none that can be. */
function textKindOf(kind: ContentKind): TextTask['kind'] | undefined {
  switch (kind) {
    case 'text':
    case 'html':
    case 'pdf':
    case 'docx':
    case 'pptx':
    case 'xlsx':
      return kind
    case 'doc':
    case 'image':
    case 'tar':
    case 'zip':
    case 'any':
      return undefined
    default:
      return kind satisfies never
  }
}

/** In the vendor's words (contract §2.3). */
export function badExtension(extension: string): Fault {
  const known = uploadExtensions.map((name) => `"${name}"`).join(', ')
  const message = `Invalid extension ${extension}. Supported formats: ${known}`
  return ofContent('invalid_extension', message, `one of ${known}`)
}

function notOfType(extension: string, found: string | undefined): Fault {
  const message =
    `The content is not what the name says: it has not the marks of .${extension}` +
    `${found === undefined ? '' : `, but those of ${found}`}.`
  return ofContent('content_differs_from_name', message, `the content of a .${extension} file`)
}

function notText(extension: string): Fault {
  const expected = 'text in UTF-8, ASCII, or UTF-16 with a byte order mark'
  const message = `The content of a .${extension} file must be ${expected}.`
  return ofContent('invalid_encoding', message, expected)
}

function tooManyTokens(most: number): Fault {
  const message = `The file is too large: its text has more than ${most} tokens.`
  return ofContent('too_many_tokens', message, `at most ${most} tokens (o200k_base)`)
}
