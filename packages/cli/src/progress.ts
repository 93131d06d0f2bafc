/** What moves, on a terminal: a bar for each file under way, with rate and time left. */

import { MultiBar, Presets } from 'cli-progress'
import type { Terminal } from './program.ts'
import { size } from './readable.ts'
import { printable } from './table.ts'

export interface Progress {
  /** Shows one more file under way. */
  begin(name: string): FileProgress
  /** Prints a line above the bars. */
  log(line: string): void
  end(): void
}

export interface FileProgress {
  moved(bytes: number, total: number | undefined): void
  done(): void
}

/** Silent where standard error is no terminal. */
export function showProgress(stderr: NodeJS.WritableStream & Terminal): Progress {
  if (stderr.isTTY !== true) {
    return {
      begin: () => ({ moved() {}, done() {} }),
      log: (line) => void stderr.write(`${line}\n`),
      end() {},
    }
  }
  const bars = new MultiBar(
    {
      stream: stderr,
      clearOnComplete: true,
      hideCursor: true,
      etaBuffer: 50,
      barsize: 24,
      format: '{name} {bar} {percentage}% {sent} of {size} {rate}/s {eta_formatted} left',
      formatValue: (value, _, type) =>
        type === 'percentage' ? `${value}`.padStart(3) : `${value}`,
    },
    Presets.shades_classic,
  )
  return {
    begin(name) {
      const shown = printable(name).slice(-24).padEnd(24)
      const began = performance.now()
      const facts = { name: shown, sent: size(0), size: '?', rate: size(0) }
      const bar = bars.create(1, 0, facts)
      return {
        moved(bytes, total) {
          const rate = bytes / Math.max(0.001, (performance.now() - began) / 1000)
          bar.setTotal(Math.max(1, total ?? bytes))
          bar.update(bytes, {
            sent: size(bytes),
            size: total === undefined ? '?' : size(total),
            rate: size(Math.round(rate)),
          })
        },
        done: () => void bars.remove(bar),
      }
    },
    log: (line) => bars.log(`${line}\n`),
    end: () => bars.stop(),
  }
}
