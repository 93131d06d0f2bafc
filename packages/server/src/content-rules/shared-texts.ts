/** The texts of a workbook that its cells name by number, kept off the heap and within a bound. */

import { DocumentError } from './document-error.ts'

/** A workbook of a million different names has some 20 MiB of them. */
const mostBytes = 64 * 1024 * 1024

/** Of a text, apart from what it says. */
const overheadBytes = 8

export interface SharedTexts {
  /** @throws DocumentError `unpacks_too_large` */
  add(text: string): void
  /** In bytes; undefined if there is none. */
  sizeOf(number: number): number | undefined
  get(number: number): string
}

export function createSharedTexts(): SharedTexts {
  let bytes = Buffer.alloc(64 * 1024)
  let used = 0
  const ends: number[] = []
  const startOf = (number: number) => ends[number - 1] ?? 0

  function makeRoom(size: number): void {
    if (used + size + ends.length * overheadBytes > mostBytes) {
      const message = `The workbook has more than ${mostBytes} bytes of different texts in its cells, so that its text is not read.`
      throw new DocumentError('unpacks_too_large', message)
    }
    if (used + size <= bytes.length) return
    const larger = Buffer.alloc(Math.max(bytes.length * 2, used + size))
    bytes.copy(larger, 0, 0, used)
    bytes = larger
  }

  return {
    add(text) {
      const size = Buffer.byteLength(text)
      makeRoom(size)
      used += bytes.write(text, used)
      ends.push(used)
    },
    sizeOf(number) {
      const end = ends[number]
      return end === undefined ? undefined : end - startOf(number)
    },
    get: (number) => bytes.toString('utf8', startOf(number), ends[number]),
  }
}
