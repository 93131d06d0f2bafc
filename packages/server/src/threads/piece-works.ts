/** Works on content that comes in pieces, all in one thread of their own. */

import { startThread, type Thread } from './thread.ts'

export interface PieceWork<Result> {
  /**
   * Takes in what comes next, which may be overwritten once this resolves. What is not in shared
   * memory is copied.
   */
  add(piece: Uint8Array): Promise<void>
  /** To be called once, also where nobody needs the result any more. */
  result(): Promise<Result>
}

export interface PieceWorks {
  /**
   * @param kind one of those that the thread serves.
   * @param options what that kind is given.
   * @throws if the thread does not start.
   */
  begin<Result>(kind: string, options?: unknown): Promise<PieceWork<Result>>
  /** Ends the thread, which must have nothing left to do. */
  close(): Promise<void>
}

export interface PieceWorksOptions {
  /** Of the thread, as operators see it: fifteen characters at most. */
  readonly name: string
  /** The module that the thread runs, which calls `servePieces`. */
  readonly module: URL
  /** What the thread does, for the sentence that it has stopped. */
  readonly task: string
  /** Of its heap, in MiB; beyond it the thread stops. */
  readonly heapMiB?: number
}

/** The thread starts with the first work, and again should it have stopped. */
export function createPieceWorks({ name, module, task, heapMiB }: PieceWorksOptions): PieceWorks {
  let thread: Promise<Thread> | undefined
  let lastNumber = 0

  function stopped(cause?: Error): Error {
    thread = undefined
    return new Error(`The thread for ${task} stopped.`, { cause })
  }

  async function start(): Promise<Thread> {
    try {
      return await startThread({ name, module, heapMiB, stopped })
    } catch (error) {
      thread = undefined
      throw error
    }
  }

  return {
    async begin<Result>(kind: string, options?: unknown) {
      thread ??= start()
      const { call } = await thread
      lastNumber += 1
      const number = lastNumber
      // Content may have no piece at all, so each call tells what the work is.
      return {
        async add(piece: Uint8Array) {
          await call('add', [number, kind, options, piece])
        },
        result: () => call('result', [number, kind, options]) as Promise<Result>,
      }
    },
    async close() {
      await (await thread)?.end()
    },
  }
}
