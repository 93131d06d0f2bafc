/** The lines that show files under way, each as wide as the terminal has room. */

import prettyMilliseconds from 'pretty-ms'
import stringWidth from 'string-width'
import { printable } from './printable.ts'
import type { Moving } from './progress.ts'
import { count, size } from './readable.ts'
import { pad } from './table.ts'

const leastName = 8
const mostName = 32
const leastBar = 10
const mostBar = 30

interface Cell {
  readonly width: number
  /** From how many characters on a line it is shown. */
  readonly from: number
  show(file: Moving, now: number): string
}

/** What stands behind the bar, each to the right. */
const cells: readonly Cell[] = [
  { width: 4, from: 16, show: percentage },
  { width: 22, from: 100, show: amount },
  { width: 12, from: 44, show: speed },
  { width: 12, from: 60, show: timeLeft },
]

/**
 * @param columns how many characters fit on a line.
 * @param now in milliseconds of `performance.now()`.
 */
export function toBars(files: readonly Moving[], columns: number, now: number): string[] {
  const shown = cells.filter(({ from }) => columns >= from)
  // One less than there are: some terminals begin a new line behind the last.
  const room = columns - 1 - shown.reduce((sum, { width }) => sum + width + 2, 0)
  const names = files.map(({ name }) => printable(name))
  const wished = Math.min(mostName, Math.max(...names.map((name) => stringWidth(name))))
  const nameWidth = Math.max(
    1,
    Math.min(room, Math.max(leastName, Math.min(wished, (room / 2) | 0))),
  )
  const barRoom = Math.min(mostBar, room - nameWidth - 2)
  return files.map((file, at) => {
    const parts = [pad(names[at] ?? '', nameWidth)]
    if (barRoom >= leastBar) parts.push(bar(file, barRoom))
    for (const { width, show } of shown) {
      const text = show(file, now)
      // What is longer, as years that are left, tells nothing.
      parts.push((text.length > width ? '' : text).padStart(width))
    }
    return parts.join('  ')
  })
}

/** So much of what the file is counted in. */
function much({ unit }: Moving, number: number): string {
  return unit === 'rows' ? count(number) : size(number)
}

function share({ bytes, total }: Moving): number | undefined {
  if (total === undefined) return undefined
  return total === 0 ? 1 : Math.min(1, bytes / total)
}

/** Without an end in sight, what there is in place of a bar. */
function bar(file: Moving, width: number): string {
  const part = share(file)
  if (part === undefined) return much(file, file.bytes).padEnd(width)
  const full = Math.floor(part * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}

function percentage(file: Moving): string {
  const part = share(file)
  return part === undefined ? '' : `${Math.floor(part * 100)}%`
}

function amount(file: Moving): string {
  const { bytes, total } = file
  return total === undefined ? '' : `${much(file, bytes)} of ${much(file, total)}`
}

/** In bytes per second, since it began: it falls while nothing moves. */
function rateOf({ begunAt, begunBytes = 0, bytes }: Moving, now: number): number {
  return (bytes - begunBytes) / Math.max(0.001, (now - begunAt) / 1000)
}

function speed(file: Moving, now: number): string {
  return `${much(file, Math.round(rateOf(file, now)))}/s`
}

/** As 2m 10s left. */
function timeLeft(file: Moving, now: number): string {
  const { bytes, total } = file
  const rate = rateOf(file, now)
  if (total === undefined || rate <= 0 || bytes >= total) return ''
  const seconds = Math.ceil((total - bytes) / rate)
  return `${prettyMilliseconds(seconds * 1000, { unitCount: 2 })} left`
}
