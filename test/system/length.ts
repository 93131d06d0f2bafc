/** How much is tried: little at every change, much before a release. */

export const isLong = process.env['COFFER_TEST_LENGTH'] === 'long'

/** @returns the number of tries for this run. */
export function tries({ short, long }: { short: number; long: number }): number {
  return isLong ? long : short
}

/** Prints what was tried and found, as a line that is read in the log of a run. */
export function report(promise: string, sentence: string): void {
  console.log(`${promise}: ${sentence}`)
}
