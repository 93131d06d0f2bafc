/** What was measured, beside what it should be, as a page that people and `compare.ts` read. */

export interface Row {
  readonly work: string
  /** With its unit. */
  readonly measured: string
  /** What the goal is about: a ratio, or a figure in the unit that `work` names. */
  readonly figure: number
  readonly goal?: { readonly most: number } | { readonly least: number } | undefined
  readonly cpuSeconds?: number | undefined
  readonly peakMiB?: number | undefined
}

export function formatRows(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const { work, measured, figure, cpuSeconds, peakMiB } = row
    const cells = [
      ...[work, measured, figure.toPrecision(3), goalOf(row), verdictOf(row)],
      ...[cpuSeconds?.toFixed(2) ?? '', peakMiB === undefined ? '' : Math.round(peakMiB)],
    ]
    return `| ${cells.join(' | ')} |\n`
  })
  return (
    '| work | medians | ratio or figure | goal | | processor seconds | peak MiB |\n' +
    `| --- | --- | --- | --- | --- | --- | --- |\n${lines.join('')}`
  )
}

/** How far a row is from its goal: 1 is just reached, more is better. */
export function marginOf({ figure, goal }: Row): number | undefined {
  if (goal === undefined) return undefined
  return 'most' in goal ? goal.most / figure : figure / goal.least
}

function goalOf({ goal }: Row): string {
  if (goal === undefined) return ''
  return 'most' in goal ? `≤ ${goal.most}` : `≥ ${goal.least}`
}

function verdictOf(row: Row): string {
  const margin = marginOf(row)
  if (margin === undefined) return 'stated'
  return margin >= 1 ? 'reached' : 'not reached'
}

export interface ReadRow {
  readonly work: string
  readonly figure: number
  /** Whether a larger figure is better. */
  readonly isMoreBetter: boolean
}

/** The rows of a page that `formatRows` is a part of. */
export function readRows(page: string): ReadRow[] {
  return page.split('\n').flatMap((line) => {
    const [, work = '', , figure, goal = ''] = line.split('|').map((cell) => cell.trim())
    const value = Number(figure)
    if (figure === undefined || figure === '' || Number.isNaN(value)) return []
    return [{ work, figure: value, isMoreBetter: goal.startsWith('≥') }]
  })
}
