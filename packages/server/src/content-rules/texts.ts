/**
 * Counts the tokens of files' texts. What a document makes its reader do is not to be foreseen, so
 * each is read in a thread that is ended where it takes too long or too much memory.
 */

import PQueue from 'p-queue'
import { siblingModule, startThread, type Thread } from '../threads/thread.ts'
import type { DocumentKind } from './document-text.ts'

const seconds = 1000
const MiB = 1024 * 1024

/** How many files are read at once. */
const atOnce = 2

/** Between two looks at what a thread has used, in which a reader can take some 20 MiB (measured). */
const lookMilliseconds = 100

/** So many times its processor time a file may take: others may have the processors, or the disk. */
const patience = 4

export interface TextTask {
  readonly kind: DocumentKind | 'text' | 'json-lines'
  readonly bytes: number
  /** Beyond it nothing is counted. */
  readonly maxTokens: number
  /** Whether tokens are also counted where the size of the text alone tells that they are not too many. */
  readonly countsAlways: boolean
}

export type TextOutcome =
  | {
      /** Undefined if they were not counted. */
      readonly tokens: number | undefined
      /** Whether there are more than `maxTokens`; not all of them are counted then. */
      readonly isOver: boolean
    }
  | { readonly failure: TextFailure }

/** Why a text could not be read. */
export interface TextFailure {
  readonly code: string
  /** A sentence. */
  readonly message: string
}

/** All bytes from `start` to before `end`. */
export type ReadRange = (start: number, end: number) => Promise<Uint8Array>

export interface TextAsker {
  /** Whose files take turns with those of others. */
  readonly owner: string
  /** Ends the reading, or the waiting for it. */
  readonly signal: AbortSignal
}

export interface Texts {
  /** @throws what `read` throws, or the reason of the signal. */
  count(task: TextTask, read: ReadRange, asker: TextAsker): Promise<TextOutcome>
  /** Ends whatever is under way, which fails. */
  close(): Promise<void>
}

export interface TextsOptions {
  /** Processor time for one file. By default half a minute: clients wait for a whole one. */
  readonly mostMilliseconds?: number | undefined
  /** Of a thread, in its heap and outside of it, in MiB; 512 by default. */
  readonly mostMiB?: number
  /**
   * How long a thread waits for another file, as it takes memory, and a quarter of a second to start:
   * five seconds by default.
   */
  readonly idleMilliseconds?: number
}

interface Reader {
  readonly thread: Thread
  /** Of the file that it reads. */
  read: ReadRange
}

export function createTexts({
  mostMilliseconds = 30 * seconds,
  mostMiB = 512,
  idleMilliseconds = 5 * seconds,
}: TextsOptions = {}): Texts {
  const queue = new PQueue({ concurrency: atOnce })
  const all = new Set<Thread>()
  const idle: Reader[] = []
  /** How many files of each owner are read, or wait for it. */
  const waiting = new Map<string, number>()
  let resting: NodeJS.Timeout | undefined
  let isClosed = false

  async function start(): Promise<Reader> {
    const thread = await startThread({
      name: 'coffer-texts',
      module: siblingModule('text-thread', import.meta.url),
      heapMiB: mostMiB,
      asked(range) {
        const { start, end } = range as { start: number; end: number }
        return reader.read(start, end)
      },
      stopped: (cause) => new Error('The thread for texts stopped.', { cause }),
    })
    const reader: Reader = { thread, read: () => Promise.reject(new Error('Nothing is read.')) }
    all.add(thread)
    return reader
  }

  async function run(task: TextTask, read: ReadRange, signal: AbortSignal): Promise<TextOutcome> {
    clearTimeout(resting)
    if (isClosed) throw new Error('No texts are read any more.')
    const reader = idle.pop() ?? (await start())
    const { thread } = reader
    /** What `read` threw: of an error that went through a thread only the message is left. */
    let unreadable: { readonly error: unknown } | undefined
    reader.read = async (start, end) => {
      try {
        return await read(start, end)
      } catch (error) {
        unreadable ??= { error }
        throw error
      }
    }
    const leave = () => void thread.terminate()
    signal.addEventListener('abort', leave)
    // While it started.
    if (isClosed || signal.aborted) leave()
    const stalled = setTimeout(leave, patience * mostMilliseconds)
    const watch = watchUsage(thread, { mostMilliseconds, mostMiB })
    try {
      const outcome = (await thread.call('count', [task])) as TextOutcome
      // A library may make do with less than it asked for.
      if (unreadable !== undefined) throw unreadable.error
      const { memoryBytes } = await thread.usage()
      // What it still holds would count against the next file.
      if (memoryBytes > (mostMiB * MiB) / 4) endThread(thread)
      else idle.push(reader)
      return outcome
    } catch (error) {
      all.delete(thread)
      await thread.terminate()
      signal.throwIfAborted()
      if (unreadable !== undefined) throw unreadable.error
      const failure = isOutOfMemory(error) ? tookTooMuch(mostMiB) : watch.failure()
      if (failure === undefined) throw error
      return { failure }
    } finally {
      signal.removeEventListener('abort', leave)
      clearTimeout(stalled)
      watch.stop()
      rest()
    }
  }

  /** Ends the threads that wait, unless another file comes soon. */
  function rest(): void {
    clearTimeout(resting)
    resting = setTimeout(() => {
      for (const { thread } of idle.splice(0)) endThread(thread)
    }, idleMilliseconds).unref()
  }

  function endThread(thread: Thread): void {
    all.delete(thread)
    void thread.end()
  }

  return {
    async count(task, read, { owner, signal }) {
      const others = waiting.get(owner) ?? 0
      waiting.set(owner, others + 1)
      try {
        // Who has many waits for those who have few.
        return await queue.add(() => run(task, read, signal), { priority: -others, signal })
      } finally {
        const left = (waiting.get(owner) ?? 1) - 1
        if (left === 0) waiting.delete(owner)
        else waiting.set(owner, left)
      }
    },
    async close() {
      isClosed = true
      clearTimeout(resting)
      await Promise.all([...all].map((thread) => thread.terminate()))
      await queue.onIdle()
    },
  }
}

/** Ends a thread that uses too much from now on. */
function watchUsage(
  thread: Thread,
  { mostMilliseconds, mostMiB }: { mostMilliseconds: number; mostMiB: number },
) {
  let failure: TextFailure | undefined
  let before: number | undefined
  let isLooking = false
  let isOver = false

  async function look(): Promise<void> {
    if (isLooking) return
    isLooking = true
    try {
      const { cpuMilliseconds, memoryBytes } = await thread.usage()
      before ??= cpuMilliseconds
      if (memoryBytes > mostMiB * MiB) failure = tookTooMuch(mostMiB)
      else if (cpuMilliseconds - before > mostMilliseconds) failure = tookTooLong(mostMilliseconds)
    } catch {
      // It has ended, which its call tells.
    }
    isLooking = false
    // It may read another file by now.
    if (failure !== undefined && !isOver) await thread.terminate()
  }

  void look()
  const looking = setInterval(() => void look(), lookMilliseconds)
  return {
    failure: () => failure,
    stop() {
      isOver = true
      clearInterval(looking)
    },
  }
}

function tookTooLong(mostMilliseconds: number): TextFailure {
  const message = `The text of this file could not be read within ${mostMilliseconds / seconds} seconds of processor time.`
  return { code: 'takes_too_long', message }
}

function tookTooMuch(mostMiB: number): TextFailure {
  const message = `The text of this file could not be read within ${mostMiB} MiB of memory.`
  return { code: 'takes_too_much_memory', message }
}

function isOutOfMemory(error: unknown): boolean {
  const { cause } = error instanceof Error ? error : {}
  return cause instanceof Error && 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY'
}
