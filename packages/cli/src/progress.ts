/** What moves, on a terminal: a bar for each file under way, with rate and time left. */

import type { Io } from './program.ts'

export interface Progress {
  /** Shows one more file under way, or a work that is counted in rows. */
  begin(name: string, unit?: Unit): FileProgress
  /** Writes a result to standard output, above the bars. */
  print(lines: string): void
  /** Writes a line to standard error, above the bars. */
  note(line: string): void
  /** Leaves nothing of the bars. */
  end(): void
}

/** What is counted. */
export type Unit = 'bytes' | 'rows'

export interface FileProgress {
  moved(bytes: number, total: number | undefined): void
  done(): void
}

/** A file as the bars show it. */
export interface Moving {
  readonly name: string
  readonly unit?: Unit
  /** In milliseconds of `performance.now()`. */
  readonly begunAt: number
  /** Where it went on: a download may not begin at 0. */
  begunBytes?: number
  bytes: number
  total: number | undefined
}

/** What is over before this is not shown, so that small files do not flicker. */
const patienceMilliseconds = 300
const redrawMilliseconds = 100

const hideCursor = '\x1b[?25l'
const showCursor = '\x1b[?25h'

/** Silent where standard error is no terminal. */
export function showProgress({ stdout, stderr }: Pick<Io, 'stdout' | 'stderr'>): Progress {
  if (stderr.isTTY !== true) {
    return {
      begin: () => ({ moved() {}, done() {} }),
      print: (lines) => void stdout.write(lines),
      note: (line) => void stderr.write(`${line}\n`),
      end() {},
    }
  }

  const moving = new Set<Moving>()
  /** How many lines of bars stand above the cursor. */
  let drawn = 0
  let isHidden = false
  let timer: NodeJS.Timeout | undefined
  // What measures text takes long to load, and most uploads are over before it is needed.
  let draw: ((files: readonly Moving[], columns: number, now: number) => string[]) | undefined

  function erase(): void {
    if (drawn > 0) stderr.write(`\x1b[${drawn}A\r\x1b[J`)
    drawn = 0
  }

  function redraw(): void {
    const now = performance.now()
    const old = [...moving].filter(({ begunAt }) => now - begunAt >= patienceMilliseconds)
    if (draw === undefined || old.length === 0) {
      erase()
      return
    }
    const lines = draw(old.slice(0, (stderr.rows ?? 24) - 1), stderr.columns ?? 80, now)
    const up = drawn > 0 ? `\x1b[${drawn}A\r` : ''
    // Each line is cleared behind its end, and not before it is written: that would flicker.
    const text = lines.map((line) => `${line}\x1b[K\n`).join('')
    stderr.write(`${isHidden ? '' : hideCursor}${up}${text}\x1b[J`)
    isHidden = true
    drawn = lines.length
  }

  async function tick(): Promise<void> {
    if (draw === undefined) draw = (await import('./progress-bars.ts')).toBars
    if (timer === undefined) return
    redraw()
    timer = setTimeout(tick, redrawMilliseconds)
  }

  return {
    begin(name, unit = 'bytes') {
      const begunAt = performance.now()
      const file: Moving = { name, unit, begunAt, bytes: 0, total: undefined }
      moving.add(file)
      timer ??= setTimeout(tick, patienceMilliseconds)
      return {
        moved(bytes, total) {
          file.begunBytes ??= bytes
          file.bytes = bytes
          file.total = total
        },
        done: () => void moving.delete(file),
      }
    },
    print(lines) {
      // Only then does it come to the same screen.
      if (stdout.isTTY === true) erase()
      stdout.write(lines)
    },
    note(line) {
      erase()
      stderr.write(`${line}\n`)
    },
    end() {
      clearTimeout(timer)
      timer = undefined
      erase()
      if (isHidden) stderr.write(showCursor)
      isHidden = false
    },
  }
}
