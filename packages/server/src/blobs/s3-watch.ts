/** Tells a store that is silent from one that is slow: by asking it, beside what waits, something small. */

export interface WatchLimits {
  /** Of a wait, after which the store is asked whether it is there; and then again. */
  readonly silentMilliseconds: number
  /** For that answer. */
  readonly aliveMilliseconds: number
}

export interface Watch {
  /** Of the last time that it was asked, until it answers anything again. */
  readonly isSilent: boolean
  /** The store has answered something. */
  heard(): void
  /** Calls back, once at most, when the store turns out to be silent. Disposed of when the wait is over. */
  begin(silent: () => void): Disposable
}

/** @param ask resolves with any answer of the store, and rejects without one. */
export function createWatch(
  { silentMilliseconds, aliveMilliseconds }: WatchLimits,
  ask: (signal: AbortSignal) => Promise<void>,
): Watch {
  let isSilent = false
  let asking: Promise<void> | undefined

  /** One question for all who wait. */
  function askOnce(): Promise<void> {
    asking ??= askNow().finally(() => {
      asking = undefined
    })
    return asking
  }

  async function askNow(): Promise<void> {
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(), aliveMilliseconds)
    try {
      await ask(controller.signal)
      isSilent = false
    } catch {
      isSilent = true
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    get isSilent() {
      return isSilent
    },
    heard() {
      isSilent = false
    },
    begin(silent) {
      let isOver = false
      let timer: NodeJS.Timeout | undefined
      async function look(): Promise<void> {
        await askOnce()
        if (isOver) return
        if (isSilent) silent()
        else wait(silentMilliseconds)
      }
      function wait(milliseconds: number): void {
        timer = setTimeout(() => void look(), milliseconds)
      }
      // Who comes while the store is silent does not wait as long to know.
      wait(isSilent ? 0 : silentMilliseconds)
      return {
        [Symbol.dispose]() {
          isOver = true
          clearTimeout(timer)
        },
      }
    },
  }
}
