/** Checks JSON lines while they pass: large content in a thread, so that no other request waits. */

import { createPieceWorks, type PieceWork } from '../threads/piece-works.ts'
import { siblingModule } from '../threads/thread.ts'
import {
  createJsonLinesCheck,
  type JsonLinesOptions,
  type JsonLinesPurpose,
  type JsonLinesReport,
} from './json-lines-check.ts'

const KiB = 1024

/** Content of one piece of at most so many bytes is checked at once: a thread would not pay. */
const smallBytes = 16 * KiB

export interface LineChecksOptions {
  /**
   * Of the thread's heap, in MiB, 1024 by default: a line of 16 MiB that has as much as may be takes
   * a part of it, and files that are uploaded at once have one each.
   */
  readonly heapMiB?: number
}

export type LineReports = ReadonlyMap<JsonLinesPurpose, JsonLinesReport>

export interface LineCheck {
  /** Takes in what comes next, which may be overwritten once this resolves. */
  add(piece: Uint8Array): Promise<void>
  /** To be called behind the last piece, also where nobody needs the reports any more. */
  result(): Promise<LineReports>
}

export interface LineChecks {
  begin(options: JsonLinesOptions): LineCheck
  /** Ends the thread, which must have nothing left to do. */
  close(): Promise<void>
}

export function createLineChecks({ heapMiB = 1024 }: LineChecksOptions = {}): LineChecks {
  const works = createPieceWorks({
    name: 'coffer-lines',
    module: siblingModule('lines-thread', import.meta.url),
    task: 'lines of JSON',
    heapMiB,
  })

  return {
    begin(options) {
      /** The first piece, which may be all. */
      let small: Uint8Array | undefined
      let work: Promise<PieceWork<LineReports>> | undefined

      let reports: Promise<LineReports> | undefined

      async function start(): Promise<PieceWork<LineReports>> {
        const begun = await works.begin<LineReports>('lines', options)
        if (small !== undefined) await begun.add(small)
        return begun
      }

      async function finish(): Promise<LineReports> {
        if (work !== undefined) return (await work).result()
        const check = createJsonLinesCheck(options)
        check.add(small ?? new Uint8Array())
        return check.result()
      }

      return {
        async add(piece) {
          if (work === undefined && small === undefined && piece.length <= smallBytes) {
            small = Uint8Array.from(piece)
            return
          }
          // The next piece may come before the thread has started.
          work ??= start()
          await (await work).add(piece)
        },
        result() {
          reports ??= finish()
          return reports
        },
      }
    },
    close: works.close,
  }
}
