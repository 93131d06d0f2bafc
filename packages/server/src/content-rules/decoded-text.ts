/** Bytes decoded as the byte order mark says, or as UTF-8 without one. */

import { damaged } from './document-error.ts'

/** @throws DocumentError `damaged` where they are no such text. */
export async function* decodeText(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined
  let head: Uint8Array = new Uint8Array()
  for await (const piece of pieces) {
    head = head.length === 0 ? piece : Buffer.concat([head, piece])
    if (decoder === undefined && head.length < 2) continue
    decoder ??= decoderOf(head)
    yield decode(decoder, head, true)
    head = new Uint8Array()
  }
  yield decode(decoder ?? decoderOf(head), head, false)
}

function decoderOf([first, second]: Uint8Array): TextDecoder {
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le', { fatal: true })
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be', { fatal: true })
  return new TextDecoder('utf-8', { fatal: true })
}

function decode(decoder: TextDecoder, bytes: Uint8Array, stream: boolean): string {
  try {
    return decoder.decode(bytes, { stream })
  } catch (error) {
    throw damaged('it is neither UTF-8 nor UTF-16 with a byte order mark', error)
  }
}
