/** A long body in parts of at most some size. */

/**
 * Yields the parts one after the other, each to be read to its end before the next is asked for. No
 * part is empty. Pieces are not copied: each is the reader's until it asks for the next.
 */
export async function* cutBody(
  source: AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const pieces = source[Symbol.asyncIterator]()
  let rest: Uint8Array | undefined

  async function pull(): Promise<Uint8Array | undefined> {
    for (;;) {
      const next = await pieces.next()
      if (next.done === true) return undefined
      if (next.value.length > 0) return next.value
    }
  }

  async function* readPart(): AsyncGenerator<Uint8Array> {
    for (let left = partBytes; left > 0; ) {
      rest ??= await pull()
      if (rest === undefined) return
      const piece = rest.subarray(0, left)
      yield piece
      left -= piece.length
      rest = piece.length < rest.length ? rest.subarray(piece.length) : undefined
    }
  }

  try {
    for (;;) {
      rest ??= await pull()
      if (rest === undefined) return
      yield readPart()
    }
  } finally {
    await pieces.return?.()
  }
}
