/** Runs a command so that Ctrl-C ends it cleanly. */

import { type Io, Stopped } from './program.ts'

/** Aborts the signal at the first Ctrl-C or SIGTERM; what the command then throws is `Stopped`. */
export async function interruptible(
  io: Io,
  command: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const stop = () => controller.abort(new Stopped('Stopped.'))
  io.on('SIGINT', stop)
  io.on('SIGTERM', stop)
  try {
    await command(controller.signal)
  } finally {
    io.off('SIGINT', stop)
    io.off('SIGTERM', stop)
  }
}
