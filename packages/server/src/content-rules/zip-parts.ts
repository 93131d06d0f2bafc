/** The parts of a ZIP archive, unpacked piece by piece and held against their sums. */

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader } from 'yauzl'
import type { Allowance, RandomAccess } from './document-content.ts'
import { DocumentError, damaged } from './document-error.ts'

/** A large presentation has some thousands. */
const mostEntries = 50_000

const readBytes = 64 * 1024

export interface ZipParts {
  /**
   * Undefined if there is no such part. Case does not count (ECMA-376 part 2, §6.2.2.3).
   *
   * @throws DocumentError while it is read.
   */
  find(name: string): AsyncGenerator<Uint8Array> | undefined
}

/**
 * @param isWanted tells of a name in small letters whether the part may be asked for.
 * @throws DocumentError
 */
export async function openZip(
  content: RandomAccess,
  allowance: Allowance,
  isWanted: (name: string) => boolean,
): Promise<ZipParts> {
  const { zip, entries } = await readDirectory(content, isWanted)

  async function* unpack(entry: Entry): AsyncGenerator<Uint8Array> {
    // Most bombs say what they are, which spares the work. The others are counted.
    allowance.expect(entry.uncompressedSize)
    let left = entry.uncompressedSize
    let sum = 0
    for await (const piece of inflate(entry, readPacked(entry))) {
      allowance.take(piece.length)
      left -= piece.length
      if (left < 0) break
      sum = crc32(piece, sum)
      yield piece
    }
    if (left !== 0 || sum !== entry.crc32) {
      throw damaged(`its part ${entry.fileName} is not what its size and checksum say`)
    }
  }

  async function* readPacked(entry: Entry): AsyncGenerator<Uint8Array> {
    const { fileDataStart } = await asDamaged(
      zip.readLocalFileHeaderPromise(entry, { minimal: true }),
    )
    const end = fileDataStart + entry.compressedSize
    for (let at = fileDataStart; at < end; at += readBytes) {
      yield await content.read(at, Math.min(at + readBytes, end))
    }
  }

  return {
    find(name) {
      const entry = entries.get(name.toLowerCase())
      return entry === undefined ? undefined : unpack(entry)
    },
  }
}

async function readDirectory(content: RandomAccess, isWanted: (name: string) => boolean) {
  const reader = new BitReader(content)
  const zip = await asDamaged(
    fromRandomAccessReaderPromise(reader, content.bytes, { autoClose: false }),
  )
  const entries = new Map<string, Entry>()
  const all = zip.eachEntry()
  for (let count = 1; ; count += 1) {
    const { done, value: entry } = await asDamaged(all.next())
    if (done === true) {
      // What follows are the heads of parts, each far from the next.
      reader.ahead = 0
      return { zip, entries }
    }
    if (count > mostEntries) {
      const message = `The document has more than ${mostEntries} parts, so that its text is not read.`
      throw new DocumentError('unpacks_too_large', message)
    }
    const name = entry.fileName.toLowerCase()
    if (!isWanted(name)) continue
    // Readers differ in which of the two they take, so that nobody can tell what the text is.
    if (entries.has(name)) throw damaged(`it has the part ${name} twice`)
    entries.set(name, entry)
  }
}

function inflate(entry: Entry, packed: AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array> {
  if (entry.isEncrypted()) {
    const message = 'The document is encrypted with a password, so that its text cannot be read.'
    throw new DocumentError('encrypted', message)
  }
  if (entry.compressionMethod === 0) return packed
  if (entry.compressionMethod === 8) return inflateRaw(packed)
  throw damaged(`its part ${entry.fileName} is packed by a method that documents do not use`)
}

async function* inflateRaw(packed: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const inflated = createInflateRaw({ chunkSize: readBytes })
  // What it rejects with also ends the loop below, unless the loop has ended before.
  const packing = pipeline(Readable.from(packed), inflated).catch(() => {})
  try {
    for await (const piece of inflated) yield piece
  } catch (error) {
    throw error instanceof DocumentError ? error : damaged('a part of it cannot be unpacked', error)
  } finally {
    // Nothing is read any more once nobody listens.
    await packing
  }
}

async function asDamaged<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof DocumentError) throw error
    throw damaged('it is no whole ZIP archive, as its kind of document is', error)
  }
}

/** Reads the directory in large pieces, for which the library asks in bits, entry by entry. */
class BitReader extends RandomAccessReader {
  /** How much is read at least. */
  ahead = readBytes
  readonly #content: RandomAccess
  #start = 0
  #bytes: Uint8Array = new Uint8Array()

  constructor(content: RandomAccess) {
    super()
    this.#content = content
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#find(position, length).then((bytes) => {
      buffer.set(bytes, offset)
      callback(null)
    }, callback)
  }

  async #find(position: number, length: number): Promise<Uint8Array> {
    const isHeld = position >= this.#start && position + length <= this.#start + this.#bytes.length
    if (!isHeld) {
      const end = Math.max(position + length, Math.min(position + this.ahead, this.#content.bytes))
      this.#bytes = await this.#content.read(position, end)
      this.#start = position
    }
    return this.#bytes.subarray(position - this.#start, position - this.#start + length)
  }
}
