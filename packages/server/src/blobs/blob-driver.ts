const KiB = 1024

/** Of the pieces in which content is written: whole blocks, and as large as writes must be. */
export const pieceBytes = 512 * KiB

/** A first piece of at most so many bytes is the whole content. */
export const smallBytes = 16 * KiB

/** Bytes from `start` to before `end`, both in whole bytes from the beginning of the blob. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface LinkOptions {
  /** What the answer says of itself (RFC 6266), and of its content. */
  readonly contentDisposition: string
  readonly contentType: string
  /** Until the link works no more; at most five minutes. */
  readonly seconds: number
}

/** What stands under a `BlobStore` for one technology. All that two drivers would repeat is there. */
export interface BlobDriver {
  /**
   * Stores the whole of `source` under `id` durably, or nothing at all.
   * Rejects with `exists` if `id` is taken, `too-slow` if others wait for what this holds while nothing
   * comes of `source`, and with the source's error if that fails. All pieces
   * have `pieceBytes` but the last, which may be shorter. A piece is overwritten once the piece after
   * the next is asked for, unless it is the whole content.
   */
  write(id: string, source: AsyncIterable<Uint8Array>): Promise<void>
  /**
   * Yields exactly the bytes of `range`, in pieces of at most one MiB. Each piece has a buffer of
   * its own and belongs to who pulled it. Rejects with `not-found`, or `damaged` if the blob ends
   * before the range does.
   */
  read(id: string, range: ByteRange): AsyncIterable<Uint8Array>
  /** Removes a blob durably; one that does not exist is a success. */
  delete(id: string): Promise<void>
  /** The ids of all whole blobs that begin with `prefix`, two hexadecimal digits, in any order. */
  list(prefix: string): AsyncIterable<string>
  /** What stands beside the blobs and tells which store they are of; undefined if nothing does. */
  readMark(): Promise<string | undefined>
  /** Replaces the mark durably. */
  writeMark(text: string): Promise<void>
  /** Rejects if blobs could not be written now. */
  check(): Promise<void>
  /** Does what deletions left for later, so that their bytes and room are gone; to be called at times. */
  tidy(): Promise<void>
  /** A URL from which anybody who has it can read the blob, whether there is one or not. */
  link?(id: string, options: LinkOptions): Promise<string>
  /** Lets go of the store, of which nothing is under way any more. */
  close(): Promise<void>
}
