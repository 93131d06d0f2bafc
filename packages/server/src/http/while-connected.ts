/** Work whose answer may take longer than a connection may idle. */

import type { ServerResponse } from 'node:http'
import { ClientLeft } from './body-source.ts'

/** @param work is given a signal that aborts when the client leaves. */
export async function whileConnected<Result>(
  response: ServerResponse,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController()
  const left = () => controller.abort(new ClientLeft('The client left before its answer.'))
  // Without a listener the server destroys an idle connection.
  const keepAlive = () => {}
  response.on('timeout', keepAlive)
  response.once('close', left)
  try {
    return await work(controller.signal)
  } finally {
    response.off('timeout', keepAlive)
    response.off('close', left)
  }
}
