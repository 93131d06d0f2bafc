/** Locks of Uploads for tus requests of one process, each had by one request after the other. */

import type { Lock, Locker } from '@tus/server'
import { serviceUnavailable } from '../service/errors.ts'
import { orAborted } from '../service/or-aborted.ts'

export interface TusLocks {
  /**
   * The locks as one request sees them.
   *
   * @param giveWay is called when another request comes for the same Upload, as of a client that lost
   *   its connection before the server did.
   * @param signal ends the waiting, with its reason; so does its patience, with a ServiceError.
   */
  lockerFor(giveWay: () => void, signal: AbortSignal): Locker
}

interface Turn {
  giveWay(): void
  /** Resolves when it and all before it are over. */
  readonly over: Promise<unknown>
}

/** Unlike the library's own locker it does not ask again and again while it waits. */
/** @param patienceMilliseconds how long a request waits for those before it. */
export function createTusLocks(patienceMilliseconds = 30_000): TusLocks {
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
        if (before === undefined) return
        const patience = new AbortController()
        const timer = setTimeout(() => {
          const cause = new Error('Another request for the same Upload does not end.')
          patience.abort(serviceUnavailable(cause))
        }, patienceMilliseconds)
        try {
          await orAborted(before.over, AbortSignal.any([signal, patience.signal]))
        } catch (error) {
          leave()
          throw error
        } finally {
          clearTimeout(timer)
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
