/** Gives a request up when nothing moves. */

import { TimeoutException } from './api-exception.ts'

export interface IdleLimit {
  /** Aborts after too long without `moved`. */
  readonly signal: AbortSignal
  /** Says that a byte came or went. */
  moved(): void
  /** Ends the watch. */
  done(): void
}

export function startIdleLimit(seconds: number): IdleLimit {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = 0

  // Pieces come by the thousand; the timer looks at the clock instead of being set anew for each.
  function watch(): void {
    const left = last + seconds * 1000 - performance.now()
    if (left > 0) timer = setTimeout(watch, left)
    else controller.abort(new TimeoutException(`Nothing came or went for ${seconds} seconds.`))
  }

  last = performance.now()
  watch()
  return {
    signal: controller.signal,
    moved() {
      last = performance.now()
    },
    done: () => clearTimeout(timer),
  }
}
