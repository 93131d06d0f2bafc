/**
 * Digests of content, taken by a thread of their own: on the main thread they would take most of an
 * upload's time, and every other request would wait for them.
 */

import { hash } from 'node:crypto'
import { createPieceWorks, type PieceWork } from '../threads/piece-works.ts'
import { siblingModule } from '../threads/thread.ts'
import { createBlockSums } from './block-sums.ts'

export interface ContentDigests {
  /** Of the whole content, in lower-case hexadecimal. */
  readonly sha256: string
  /** Of its blocks, to be given back when it is read. */
  readonly checksums: Uint8Array
}

export interface Digests {
  /** Of content that comes in pieces. @throws if the thread does not start. */
  begin(): Promise<PieceWork<ContentDigests>>
  /** Of content that comes in pieces, in lower-case hexadecimal. @throws as `begin`. */
  beginMd5(): Promise<PieceWork<string>>
  /** Ends the thread, which must have nothing left to do. */
  close(): Promise<void>
}

/** The thread starts with the first digest, and again should it have stopped. */
export function createDigests(): Digests {
  const works = createPieceWorks({
    name: 'coffer-digests',
    module: siblingModule('digest-thread', import.meta.url),
    task: 'digests',
  })
  return {
    begin: () => works.begin('content'),
    beginMd5: () => works.begin('md5'),
    close: works.close,
  }
}

/** Of content that is there as a whole, and small enough that a thread would not pay. */
export function digestsOf(content: Uint8Array): ContentDigests {
  const sums = createBlockSums()
  sums.add(content)
  return { sha256: hash('sha256', content), checksums: sums.result() }
}
