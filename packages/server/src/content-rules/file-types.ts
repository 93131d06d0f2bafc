/** What files are by their names, and by their first bytes. */

import { lookup } from 'mime-types'

/** How content of a type is told, and how its text is read. */
export type ContentKind =
  | 'text'
  | 'html'
  | 'pdf'
  | 'docx'
  | 'pptx'
  | 'xlsx'
  | 'doc'
  | 'image'
  | 'tar'
  | 'zip'
  | 'any'

interface FileType {
  readonly mime: string
  readonly kind: ContentKind
}

const office = 'application/vnd.openxmlformats-officedocument'

/** What `assistants` may have, by extension (contract §6.4). */
const types: Readonly<Record<string, FileType>> = {
  c: { mime: 'text/x-c', kind: 'text' },
  cpp: { mime: 'text/x-c++', kind: 'text' },
  cs: { mime: 'text/x-csharp', kind: 'text' },
  css: { mime: 'text/css', kind: 'text' },
  csv: { mime: 'text/csv', kind: 'text' },
  doc: { mime: 'application/msword', kind: 'doc' },
  docx: { mime: `${office}.wordprocessingml.document`, kind: 'docx' },
  gif: { mime: 'image/gif', kind: 'image' },
  go: { mime: 'text/x-golang', kind: 'text' },
  html: { mime: 'text/html', kind: 'html' },
  java: { mime: 'text/x-java', kind: 'text' },
  jpeg: { mime: 'image/jpeg', kind: 'image' },
  jpg: { mime: 'image/jpeg', kind: 'image' },
  js: { mime: 'text/javascript', kind: 'text' },
  json: { mime: 'application/json', kind: 'text' },
  md: { mime: 'text/markdown', kind: 'text' },
  pdf: { mime: 'application/pdf', kind: 'pdf' },
  php: { mime: 'text/x-php', kind: 'text' },
  pkl: { mime: 'application/octet-stream', kind: 'any' },
  png: { mime: 'image/png', kind: 'image' },
  pptx: { mime: `${office}.presentationml.presentation`, kind: 'pptx' },
  py: { mime: 'text/x-python', kind: 'text' },
  rb: { mime: 'text/x-ruby', kind: 'text' },
  sh: { mime: 'application/x-sh', kind: 'text' },
  tar: { mime: 'application/x-tar', kind: 'tar' },
  tex: { mime: 'text/x-tex', kind: 'text' },
  ts: { mime: 'application/typescript', kind: 'text' },
  txt: { mime: 'text/plain', kind: 'text' },
  webp: { mime: 'image/webp', kind: 'image' },
  xlsx: { mime: `${office}.spreadsheetml.sheet`, kind: 'xlsx' },
  xml: { mime: 'application/xml', kind: 'text' },
  zip: { mime: 'application/zip', kind: 'zip' },
}

/** The vendor's documents have these, and the refusal of its uploads has not (contract §6.4). */
const notAtUpload = ['cs', 'sh']

/** As the vendor lists them. */
export const uploadExtensions = Object.keys(types).filter((name) => !notAtUpload.includes(name))

/** Of an extension in lower case, if `assistants` may have it. */
export function assistantsType(extension: string): FileType | undefined {
  return Object.hasOwn(types, extension) ? types[extension] : undefined
}

/** Without its dot; empty where there is none. */
export function extensionOf(filename: string): string {
  return /\.([^./]*)$/.exec(filename)?.[1] ?? ''
}

/** What a name says that the content is, if it says anything. */
export function typeOfName(filename: string): string | undefined {
  const extension = extensionOf(filename).toLowerCase()
  if (extension === 'jsonl') return 'application/jsonl'
  return assistantsType(extension)?.mime ?? (lookup(extension) || undefined)
}

/** What the first bytes say that the content is; undefined for text, and all that has no mark. */
export async function typeOfHead(head: Uint8Array): Promise<string | undefined> {
  // Loaded where it is needed first: most content is never looked at.
  const { fileTypeFromBuffer } = await import('file-type')
  return (await fileTypeFromBuffer(head))?.mime
}

/**
 * Whether content of a kind may begin so. Readers of documents find out more.
 *
 * @param found what `typeOfHead` found.
 */
export function isOfKind(kind: ContentKind, head: Uint8Array, found: string | undefined): boolean {
  switch (kind) {
    case 'pdf':
      // Readers take it within the first KiB.
      return Buffer.from(head.subarray(0, 1024)).includes('%PDF-')
    case 'image':
      // Nobody minds a JPEG that is called .png.
      return found?.startsWith('image/') === true
    case 'docx':
    case 'pptx':
    case 'xlsx':
      return isZip(head) || found === 'application/x-cfb'
    case 'zip':
      return isZip(head)
    case 'tar':
      // An empty one has nothing but zeros.
      return found === 'application/x-tar' || head.every((byte) => byte === 0)
    case 'doc':
      // Programs save rich text, web pages and the newer format under this name too.
      return found === undefined || doc.includes(found) || isZip(head)
    case 'text':
    case 'html':
    case 'any':
      return true
    default:
      return kind satisfies never
  }
}

const doc = ['application/x-cfb', 'application/rtf', 'application/xml']

/** Whatever else it is: an archive of parts, of none, or one of several. */
function isZip([first, second, third, fourth]: Uint8Array): boolean {
  if (first !== 0x50 || second !== 0x4b) return false
  return [0x0304, 0x0506, 0x0708].includes(((third ?? 0) << 8) | (fourth ?? 0))
}

/** The kind of what `typeOfHead` found, where `assistants` may have it. */
export function kindOfType(found: string | undefined): FileType | undefined {
  return Object.values(types).find(({ mime, kind }) => mime === found && kind !== 'any')
}

/** Whether content begins with the byte order mark of UTF-16. */
export function hasUtf16Mark([first, second]: Uint8Array): boolean {
  return (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)
}
