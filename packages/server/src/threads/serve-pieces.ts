/** The other end of `piece-works.ts`. */

import { serveCalls } from './serve-calls.ts'

export interface PieceTaker {
  add(piece: Uint8Array): void
  result(): unknown
}

type Kinds<Options> = Readonly<Record<string, (options: Options) => PieceTaker>>

/** Serves works of these kinds, any number of them at once. To be called once. */
export function servePieces<Options>(kinds: Kinds<Options>): void {
  const underWay = new Map<number, PieceTaker>()

  function find(number: number, kind: string, options: Options): PieceTaker {
    const begun = underWay.get(number)
    if (begun !== undefined) return begun
    const begin = kinds[kind]
    if (begin === undefined) throw new Error(`The thread knows no work '${kind}'.`)
    return begin(options)
  }

  serveCalls({
    add(number: number, kind: string, options: Options, piece: Uint8Array) {
      const work = find(number, kind, options)
      underWay.set(number, work)
      work.add(piece)
    },
    result(number: number, kind: string, options: Options) {
      const work = find(number, kind, options)
      underWay.delete(number)
      return work.result()
    },
  })
}
