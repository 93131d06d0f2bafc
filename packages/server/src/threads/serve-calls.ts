/** The other end of `thread.ts`: a thread that answers calls, and may ask who started it. */

import { parentPort } from 'node:worker_threads'
import {
  type Answer,
  type Call,
  end,
  fromThreadError,
  type Reply,
  toThreadError,
} from './messages.ts'

export interface Starter {
  /** Resolves with what its `asked` gave; rejects with what that threw. */
  ask(question: unknown): Promise<unknown>
}

type Calls = Readonly<Record<string, (...args: never[]) => unknown>>

/** To be called once, when all is ready. A call may give a promise; what it throws is the answer. */
export function serveCalls(calls: Calls): Starter {
  if (parentPort === null) throw new Error('Calls are answered by a worker thread.')
  const port = parentPort
  const asked = new Map<number, PromiseWithResolvers<unknown>>()
  let lastQuestion = 0

  port.on('message', (message: Call[] | Reply | typeof end) => {
    if (message === end) port.close()
    else if (Array.isArray(message)) answer(message)
    else settle(message)
  })

  function answer(group: readonly Call[]): void {
    const answers: Answer[] = []
    for (const { id, name, args } of group) {
      try {
        const value = calls[name]?.(...(args as never[]))
        if (value instanceof Promise) answerLater(id, value)
        else answers.push({ id, value })
      } catch (error) {
        answers.push({ id, error: toThreadError(error) })
      }
    }
    if (answers.length > 0) port.postMessage(answers)
  }

  function answerLater(id: number, promise: Promise<unknown>): void {
    promise.then(
      (value) => port.postMessage([{ id, value }]),
      (error: unknown) => port.postMessage([{ id, error: toThreadError(error) }]),
    )
  }

  function settle({ question, value, error }: Reply): void {
    const waiting = asked.get(question)
    asked.delete(question)
    if (error === undefined) waiting?.resolve(value)
    else waiting?.reject(fromThreadError(error))
  }

  port.postMessage('ready')
  return {
    ask(value) {
      lastQuestion += 1
      const waiting = Promise.withResolvers<unknown>()
      asked.set(lastQuestion, waiting)
      port.postMessage({ question: lastQuestion, value })
      return waiting.promise
    },
  }
}
