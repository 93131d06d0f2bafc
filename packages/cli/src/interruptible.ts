/** Runs a command so that Ctrl-C ends it cleanly. */

import { type Io, OutputClosed, Stopped } from './program.ts'

/**
 * Aborts the signal at the first Ctrl-C or SIGTERM, or when nobody reads the output any more;
 * whatever the command then throws, the signal's reason is thrown.
 *
 * @param notice what Ctrl-C says: that it was heard, and what is left.
 */
export async function interruptible(
  io: Io,
  command: (signal: AbortSignal) => Promise<void>,
  notice = 'Stopped.',
): Promise<void> {
  const controller = new AbortController()
  const { signal } = controller
  const end = (reason: Error) => {
    controller.abort(reason)
    // A read that waits for more would keep the program from ending.
    io.stdin.destroy()
  }
  const stop = () => end(new Stopped(notice))
  const outputFailed = (cause: Error) => end(new OutputClosed('Nobody reads on.', { cause }))
  io.on('SIGINT', stop)
  io.on('SIGTERM', stop)
  io.stdout.on('error', outputFailed)
  try {
    await command(signal)
    await written(io, outputFailed)
    signal.throwIfAborted()
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    io.off('SIGINT', stop)
    io.off('SIGTERM', stop)
  }
}

/** Resolves when all output is taken, or cannot be: its reader may leave meanwhile. */
function written({ stdout }: Io, failed: (cause: Error) => void): Promise<void> {
  return new Promise((resolve) => {
    stdout.write('', (error) => {
      if (error) failed(error)
      resolve()
    })
  })
}
