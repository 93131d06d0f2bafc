/** Locks of Uploads for tus requests of one process, each had by one request after the other. */

import type { Lock, Locker } from '@tus/server'
import { serviceUnavailable } from '../service/errors.ts'

const patienceMilliseconds = 30_000

export interface TusLocks {
  /**
   * The locks as one request sees them.
   *
   * @param giveWay is called when another request comes for the same Upload, as of a client that lost
   *   its connection before the server did.
   * @param signal ends the waiting, with its reason; so do thirty seconds, with a ServiceError.
   */
  lockerFor(giveWay: () => void, signal: AbortSignal): Locker
}

interface Turn {
  giveWay(): void
  /** Resolves when it and all before it are over. */
  readonly over: Promise<unknown>
}

/** Unlike the library's own locker it does not ask again and again while it waits. */
export function createTusLocks(): TusLocks {
  /** The last in the queue for each Upload. */
  const last = new Map<string, Turn>()

  function createLock(id: string, giveWay: () => void, signal: AbortSignal): Lock {
    const { promise: left, resolve: leave } = Promise.withResolvers<void>()
    return {
      async lock() {
        const before = last.get(id)
        const turn = { giveWay, over: Promise.all([before?.over, left]) }
        last.set(id, turn)
        void turn.over.then(() => {
          if (last.get(id) === turn) last.delete(id)
        })
        before?.giveWay()
        try {
          if (before !== undefined) await orAborted(before.over, signal)
        } catch (error) {
          leave()
          throw error
        }
      },
      async unlock() {
        leave()
      },
    }
  }

  return {
    lockerFor: (giveWay, signal) => ({ newLock: (id) => createLock(id, giveWay, signal) }),
  }
}

async function orAborted(event: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  const timer = setTimeout(() => {
    reject(serviceUnavailable(new Error('Another request for the same Upload does not end.')))
  }, patienceMilliseconds)
  try {
    await Promise.race([event, aborted])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}
