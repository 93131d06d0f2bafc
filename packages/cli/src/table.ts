/** Lines in columns, cut to the width of a terminal. */

import truncate from 'cli-truncate'
import stringWidth from 'string-width'
import { printable } from './printable.ts'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** The one column that gives way where a line is too long for the terminal. */
  readonly gives?: true
  /** Which column is left out first, where that is not enough: the one with the highest number. */
  readonly spare?: number
}

const gap = '  '
/** Below this the column that gives is no longer read. */
const leastWidth = 8

/**
 * @param columns how many characters fit on a line; undefined where it is no terminal, and
 *   nothing is cut.
 */
export function formatTable(
  table: readonly Column[],
  rows: readonly (readonly string[])[],
  columns: number | undefined,
): string {
  const all = [table.map((column) => column.title), ...rows.map((row) => row.map(printable))]
  const natural = table.map((column, at) => ({
    ...column,
    at,
    width: Math.max(...all.map((row) => stringWidth(row[at] ?? ''))),
  }))
  const fitting = columns === undefined ? natural : fitTo(natural, columns)
  const lines = all.map((row) =>
    fitting
      .map(({ at, width, align }) => pad(row[at] ?? '', width, align))
      .join(gap)
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

type Measured = Column & { readonly at: number; readonly width: number }

function fitTo(table: readonly Measured[], columns: number): readonly Measured[] {
  const excess = table.reduce((sum, { width }) => sum + width + gap.length, -gap.length) - columns
  if (excess <= 0) return table
  const giving = table.find(({ gives }) => gives)
  if (giving !== undefined && giving.width - excess >= Math.min(leastWidth, giving.width)) {
    return table.map((column) =>
      column === giving ? { ...column, width: giving.width - excess } : column,
    )
  }
  const [first] = table
  if (table.length <= 1) return first === undefined ? [] : [{ ...first, width: columns }]
  const most = Math.max(...table.map(({ spare = 0 }) => spare))
  return fitTo(
    table.filter((column, at) => at === 0 || (column.spare ?? 0) < most),
    columns,
  )
}

/** Cuts in the middle: names begin and end with what tells them apart. */
export function pad(text: string, width: number, align?: Column['align']): string {
  const cut = truncate(text, width, { position: 'middle' })
  const blanks = ' '.repeat(Math.max(0, width - stringWidth(cut)))
  return align === 'right' ? blanks + cut : cut + blanks
}
