/** Long work that is done a few at a time, and once however many ask for it. */

import PQueue from 'p-queue'
import { orAborted } from './or-aborted.ts'

export interface SharedWork<Result> {
  /**
   * Joins the work of that key, or puts it in the queue. Who asks may leave: work for which nobody
   * waits when its turn comes is not begun, and what is begun is done, so that who asks again finds it.
   *
   * @throws what the work throws, or the reason of the signal.
   */
  ask(key: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result>
}

interface Job<Result> {
  waiters: number
  readonly done: Promise<Result>
}

export function createSharedWork<Result>(atOnce: number): SharedWork<Result> {
  const queue = new PQueue({ concurrency: atOnce })
  const jobs = new Map<string, Job<Result>>()

  function begin(key: string, work: () => Promise<Result>): Job<Result> {
    const run = async () => {
      try {
        if (job.waiters === 0) throw new Error('Nobody waits for it any more.')
        return await work()
      } finally {
        jobs.delete(key)
      }
    }
    // The queue begins at once where it has room, and nobody is counted as waiting yet.
    const job: Job<Result> = { waiters: 0, done: Promise.resolve().then(() => queue.add(run)) }
    // Whoever waits hears of it; it may be nobody.
    job.done.catch(() => undefined)
    jobs.set(key, job)
    return job
  }

  return {
    async ask(key, signal, work) {
      const job = jobs.get(key) ?? begin(key, work)
      job.waiters += 1
      try {
        return await orAborted(job.done, signal)
      } finally {
        job.waiters -= 1
      }
    },
  }
}
