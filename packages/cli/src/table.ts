/** Lines in columns, cut to the width of a terminal. */

import truncate from 'cli-truncate'
import stringWidth from 'string-width'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** The one column that gives way where a line is too long for the terminal. */
  readonly gives?: true
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
  const widths = table.map((_, at) => Math.max(...all.map((row) => stringWidth(row[at] ?? ''))))
  const total = widths.reduce((sum, width) => sum + width + gap.length, -gap.length)
  const giving = table.findIndex((column) => column.gives)
  const excess = columns === undefined ? 0 : total - columns
  if (excess > 0 && giving !== -1) {
    widths[giving] = Math.max(leastWidth, (widths[giving] ?? 0) - excess)
  }
  const lines = all.map((row) =>
    table
      .map(({ align }, at) => pad(row[at] ?? '', widths[at] ?? 0, align))
      .join(gap)
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

function pad(text: string, width: number, align: Column['align']): string {
  const cut = truncate(text, width, { position: 'middle' })
  const blanks = ' '.repeat(Math.max(0, width - stringWidth(cut)))
  return align === 'right' ? blanks + cut : cut + blanks
}

/** A name must not steer the terminal or turn the line around. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, '\ufffd')
}
