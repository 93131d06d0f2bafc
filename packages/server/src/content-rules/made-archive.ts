/** Archives and documents for tests, made by hand so that they may lie. */

import { crc32, deflateRawSync } from 'node:zlib'

export interface Part {
  readonly name: string
  readonly packed: Buffer
  readonly method: number
  /** Unpacked, as the archive says. */
  readonly bytes: number
  readonly sum: number
  readonly flags: number
}

export function part(name: string, content: string | Buffer): Part {
  const bytes = Buffer.from(content)
  const isPacked = !name.endsWith('.mp4')
  const packed = isPacked ? deflateRawSync(bytes, { level: 1 }) : bytes
  const method = isPacked ? 8 : 0
  return { name, packed, method, bytes: bytes.length, sum: crc32(bytes), flags: 0 }
}

/** An archive that says of its parts what it is told to say. */
export function zipOf(parts: readonly Part[]): Buffer {
  const files: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const { name, packed, method, bytes, sum, flags } of parts) {
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20)
    fields.writeUInt16LE(flags, 2)
    fields.writeUInt16LE(method, 4)
    fields.writeUInt32LE(sum, 10)
    fields.writeUInt32LE(packed.length, 14)
    fields.writeUInt32LE(bytes, 18)
    fields.writeUInt16LE(name.length, 22)
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(offset, 10)
    const file = [Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]
    directory.push(Buffer.from('PK\x01\x02\x14\0'), fields, rest, Buffer.from(name))
    files.push(...file)
    offset += 30 + name.length + packed.length
  }
  const end = Buffer.alloc(18)
  end.writeUInt16LE(parts.length % 65_536, 4)
  end.writeUInt16LE(parts.length % 65_536, 6)
  end.writeUInt32LE(Buffer.concat(directory).length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...files, ...directory, Buffer.from('PK\x05\x06'), end])
}

/** A document whose main part is named. */
export function officeOf(
  main: string,
  parts: Record<string, string | Buffer>,
  more: readonly Part[] = [],
): Buffer {
  return zipOf([
    part('_rels/.rels', relationsOf(['r0', 'officeDocument', main])),
    ...Object.entries(parts).map(([name, content]) => part(name, content)),
    ...more,
  ])
}

export function relationsOf(...relations: [id: string, type: string, target: string][]): string {
  const all = relations.map(
    ([id, type, target]) => `<Relationship Id="${id}" Type="http://x/${type}" Target="${target}"/>`,
  )
  return `<Relationships>${all.join('')}</Relationships>`
}
