/** Sizes and times as a person reads them. */

import prettyBytes from 'pretty-bytes'
import prettyMilliseconds from 'pretty-ms'

/** As 1.5 MiB: in the units in which limits are set. */
export function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true, maximumFractionDigits: 1 })
}

/** As 3 days: the time between two Unix seconds, in its largest unit. */
export function duration(seconds: number): string {
  return prettyMilliseconds(Math.max(0, Math.floor(seconds)) * 1000, {
    compact: true,
    verbose: true,
  })
}
