/** What was measured, beside what it should be. */

export interface Row {
  readonly work: string
  /** With its unit. */
  readonly measured: string
  /** What the goal is about: a ratio, or a figure in the unit that `work` names. */
  readonly ratio: number
  /** The most that is good. */
  readonly goal: number
}

export function formatRows(rows: readonly Row[]): string {
  const lines = rows.map(({ work, measured, ratio, goal }) => {
    const verdict = ratio <= goal ? 'reached' : 'not reached'
    return `| ${work} | ${measured} | ${ratio.toFixed(2)} | ≤ ${goal} | ${verdict} |\n`
  })
  return `| work | median | ratio or figure | goal | |\n| --- | --- | --- | --- | --- |\n${lines.join('')}`
}
