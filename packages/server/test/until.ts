/** Waits for what no event tells: looks again and again, the more rarely the longer it takes. */

import { setTimeout as sleep } from 'node:timers/promises'

/** So much later than anything takes that it counts as never, on a busy machine too. */
const patienceMilliseconds = 15_000
const longestPauseMilliseconds = 50

/** @throws if `check` never holds, or at once what it throws. */
export async function until(check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + patienceMilliseconds
  let pause = 1
  while (!(await check())) {
    if (performance.now() > end) {
      throw new Error(`It did not come about within ${patienceMilliseconds / 1000} seconds.`)
    }
    await sleep(pause)
    pause = Math.min(2 * pause, longestPauseMilliseconds)
  }
}
