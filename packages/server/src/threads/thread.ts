/** A thread of this process that is called by names, and answers each call. */

import { once } from 'node:events'
import { getCompileCacheDir } from 'node:module'
import { dirname, extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import {
  type Answer,
  type Call,
  end,
  fromThreadError,
  type Question,
  type Reply,
  toThreadError,
} from './messages.ts'

export interface ThreadOptions {
  /** What operators see it under, as in `top -H`: fifteen characters at most. */
  readonly name: string
  /** The module that the thread runs, which posts a first message once it can be called. */
  readonly module: URL
  /** Its `workerData`. */
  readonly data?: unknown
  /** Of its heap, in MiB; beyond it the thread ends with an error. By default the system's memory decides. */
  readonly heapMiB?: number | undefined
  /** Answers what the thread asks. */
  readonly asked?: (question: unknown) => Promise<unknown>
  /** What calls reject with once the thread has ended, be it by an error; called once. */
  readonly stopped: (cause?: Error) => Error
}

export interface ThreadUsage {
  /** Processor time since it started, in milliseconds. */
  readonly cpuMilliseconds: number
  /** Of its heap, and of what lies outside of that and is held by it. */
  readonly memoryBytes: number
}

export interface Thread {
  /** Resolves with what the call gave; rejects with what it threw. */
  call(name: string, args: readonly unknown[]): Promise<unknown>
  /** What it has used so far, which is also told while it is busy. Rejects once the thread has ended. */
  usage(): Promise<ThreadUsage>
  /** Ends the thread, which must have nothing left to do, in its own time. */
  end(): Promise<void>
  /** Ends it now. */
  terminate(): Promise<unknown>
}

/** The module of that name beside `from`, whether that runs from source or was built. */
export function siblingModule(name: string, from: string): URL {
  return new URL(`./${name}${extname(from)}`, from)
}

/** @throws what the module throws while it starts. */
export async function startThread(options: ThreadOptions): Promise<Thread> {
  const { name, module, data, heapMiB, asked, stopped } = options
  const worker = new Worker(entryOf(module), {
    ...{ eval: true, name, workerData: data },
    ...(heapMiB === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: heapMiB } }),
  })
  await begun(worker)

  const pending = new Map<number, PromiseWithResolvers<unknown>>()
  let outbox: Call[] = []
  let lastId = 0
  let failure: Error | undefined
  const ended = Promise.withResolvers<void>()

  worker.on('message', (message: Answer[] | Question) => {
    if (!Array.isArray(message)) {
      void reply(message)
      return
    }
    for (const { id, value, error } of message) {
      const call = pending.get(id)
      pending.delete(id)
      if (error === undefined) call?.resolve(value)
      else call?.reject(fromThreadError(error))
    }
  })
  worker.on('error', fail)
  worker.on('exit', () => {
    fail()
    ended.resolve()
  })

  async function reply({ question, value }: Question): Promise<void> {
    const answer: Reply = await Promise.try(async () => asked?.(value)).then(
      (given) => ({ question, value: given }),
      (error: unknown) => ({ question, error: toThreadError(error) }),
    )
    worker.postMessage(answer)
  }

  /** An error comes before the exit, which follows in any case. */
  function fail(cause?: Error): void {
    failure ??= stopped(cause)
    for (const call of pending.values()) call.reject(failure)
    pending.clear()
  }

  return {
    call(name, args) {
      if (failure !== undefined) return Promise.reject(failure)
      lastId += 1
      const call = Promise.withResolvers<unknown>()
      pending.set(lastId, call)
      if (outbox.length === 0) {
        setImmediate(() => {
          worker.postMessage(outbox)
          outbox = []
        })
      }
      outbox.push({ id: lastId, name, args })
      return call.promise
    },
    async usage() {
      const [{ user, system }, heap] = await Promise.all([
        worker.cpuUsage(),
        worker.getHeapStatistics(),
      ])
      const { total_heap_size, external_memory, malloced_memory } = heap
      return {
        cpuMilliseconds: (user + system) / 1000,
        memoryBytes: total_heap_size + external_memory + malloced_memory,
      }
    },
    end() {
      worker.postMessage(end)
      return ended.promise
    },
    terminate: () => worker.terminate(),
  }
}

async function begun(worker: Worker): Promise<void> {
  const waiting = new AbortController()
  const { signal } = waiting
  try {
    const exit = once(worker, 'exit', { signal }).then(([code]) => {
      throw new Error(`The thread ended with ${code} before it began.`)
    })
    await Promise.race([once(worker, 'message', { signal }), exit])
  } finally {
    waiting.abort()
  }
}

/**
 * Code that runs `module`. A thread has no cache of compiled code unless it asks for one itself, and
 * then takes longer to start and much more memory (measured: 17 MiB each, from source).
 */
function entryOf(module: URL): string {
  const cache = getCompileCacheDir()
  // Below the folder that was asked for is one for each version of Node.
  const enable = `require('node:module').enableCompileCache(${JSON.stringify(dirname(cache ?? ''))});`
  return `${cache === undefined ? '' : enable} import(${JSON.stringify(module.href)})`
}
