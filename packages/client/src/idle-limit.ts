/** Gives a request up when nothing moves. */

import { TimeoutException } from './api-exception.ts'

export interface IdleLimit {
  /** Aborts after too long without `moved`, or with the signal that was given. */
  readonly signal: AbortSignal
  /** Says that a byte came or went. */
  moved(): void
  /** Ends the watch. */
  done(): void
}

/** @param outer ends the request for reasons of the caller's. */
export function startIdleLimit(seconds: number, outer: AbortSignal | undefined): IdleLimit {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = 0

  // Pieces come by the thousand; the timer looks at the clock instead of being set anew for each.
  function watch(): void {
    const left = last + seconds * 1000 - performance.now()
    if (left > 0) timer = setTimeout(watch, left)
    else controller.abort(new TimeoutException(`Nothing came or went for ${seconds} seconds.`))
  }

  // `AbortSignal.any` would do the same, with more work for each of many small uploads.
  const leave = () => controller.abort(outer?.reason)
  if (outer?.aborted === true) leave()
  outer?.addEventListener('abort', leave)
  last = performance.now()
  watch()
  return {
    signal: controller.signal,
    moved() {
      last = performance.now()
    },
    done() {
      clearTimeout(timer)
      outer?.removeEventListener('abort', leave)
    },
  }
}
