/** Sizes and times as a person reads them. Other servers may leave them out. */

import prettyBytes from 'pretty-bytes'
import prettyMilliseconds from 'pretty-ms'

/** As 1.5 MiB: in the units in which limits are set. */
export function size(bytes: number | undefined): string {
  if (!Number.isFinite(bytes)) return '?'
  return prettyBytes(bytes ?? 0, { binary: true, maximumFractionDigits: 1 })
}

/** As 1,204 lines, or without a thing 1,204. */
export function count(number: number, thing?: string): string {
  const digits = number.toLocaleString('en-US')
  if (thing === undefined) return digits
  return `${digits} ${thing}${number === 1 ? '' : 's'}`
}

/** As 3 days: the time between two Unix seconds, in its largest unit. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.max(0, Math.floor(seconds))
  if (whole === 0) return '0 seconds'
  return prettyMilliseconds(whole * 1000, { compact: true, verbose: true })
}
