/** Waits for what no event tells: looks again and again, as often as is reasonable. */

const looks = 500

/** @throws if `check` never holds. */
export async function until(check: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < looks; look += 1) if (await check()) return
  throw new Error(`It did not come about within ${looks} looks.`)
}
