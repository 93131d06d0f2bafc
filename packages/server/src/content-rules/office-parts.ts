/** The parts of an Office document and how they lead to each other (ECMA-376 part 2). */

import { posix } from 'node:path'
import {
  type Allowance,
  createAllowance,
  type DocumentLimits,
  type RandomAccess,
} from './document-content.ts'
import { DocumentError, damaged } from './document-error.ts'
import { readXml, type XmlEvent } from './xml-events.ts'
import { openZip, type ZipParts } from './zip-parts.ts'

/** Of one part; each is held. */
const mostRelations = 50_000

export interface Relation {
  readonly id: string
  /** The end of its name, as `slide`; what stands before differs by the edition of the standard. */
  readonly type: string
  /** The name of a part. */
  readonly part: string
}

export interface OfficeParts {
  /** Of the part that the document begins with. */
  readonly main: string
  readonly allowance: Allowance
  has(part: string): boolean
  /** @throws DocumentError, at once where there is no such part. */
  read(part: string): AsyncGenerator<readonly XmlEvent[]>
  /** In their own order; none where a part leads nowhere. */
  relations(part: string): Promise<readonly Relation[]>
}

/**
 * @param root the element that the main part consists of, by which kinds of documents are told apart.
 * @throws DocumentError
 */
export async function openOffice(
  content: RandomAccess,
  limits: DocumentLimits,
  root: 'document' | 'presentation' | 'workbook',
): Promise<OfficeParts> {
  await refuseEncrypted(content)
  const allowance = createAllowance(limits)
  const zip = await openZip(content, allowance, (name) => /\.(xml|rels)$/.test(name))
  const main = (await readRelations(zip, '')).find(({ type }) => type === 'officeDocument')?.part
  if (main === undefined || (await rootOf(zip, main)) !== root) {
    throw damaged(`it holds no ${root}`)
  }
  return {
    main,
    allowance,
    has: (part) => zip.find(part) !== undefined,
    read: (part) => read(zip, part),
    relations: (part) => readRelations(zip, part),
  }
}

function read(zip: ZipParts, part: string): AsyncGenerator<readonly XmlEvent[]> {
  const pieces = zip.find(part)
  if (pieces === undefined) throw damaged(`its part ${part} is missing`)
  return readXml(pieces)
}

async function rootOf(zip: ZipParts, part: string): Promise<string | undefined> {
  for await (const events of read(zip, part)) {
    for (const event of events) if (event.type === 'open') return event.name
  }
  return undefined
}

/** @param part an empty name means the whole document. */
async function readRelations(zip: ZipParts, part: string): Promise<Relation[]> {
  const folder = posix.dirname(part)
  const pieces = zip.find(posix.join(folder, '_rels', `${posix.basename(part)}.rels`))
  if (pieces === undefined) return []
  const relations: Relation[] = []
  for await (const events of readXml(pieces)) {
    for (const event of events) {
      if (event.type !== 'open' || event.name !== 'Relationship') continue
      const { Id: id = '', Type: type = '', Target: target = '' } = event.attributes
      if (relations.length === mostRelations) throw damaged(`a part of it leads to too many others`)
      const whole = posix.resolve('/', folder, target).slice(1)
      relations.push({ id, type: type.slice(type.lastIndexOf('/') + 1), part: whole })
    }
  }
  return relations
}

/** An encrypted document is no archive, but stands whole in a file of the older kind. */
async function refuseEncrypted(content: RandomAccess): Promise<void> {
  if (content.bytes < 512) return
  const head = Buffer.from(await content.read(0, 512))
  if (head.readBigUInt64BE(0) !== 0xd0cf11e0a1b11ae1n) return
  // The sector of the directory, and how large sectors are ([MS-CFB] §2.2).
  const at = (head.readUInt32LE(48) + 1) * 2 ** head.readUInt16LE(30)
  const directory = Buffer.from(
    await content.read(at, Math.min(at + 4096, Math.max(at, content.bytes))),
  )
  if (!directory.includes(Buffer.from('EncryptedPackage', 'utf16le'))) {
    throw damaged('it is of the format that Office wrote before 2007, or of another kind')
  }
  const message = 'The document is encrypted with a password, so that its text cannot be read.'
  throw new DocumentError('encrypted', message)
}
