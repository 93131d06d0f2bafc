/** Does something to many things, some at a time. */

/**
 * Runs `work` on each item, at most `width` at once, and starts no more once the signal aborts.
 * Rejects with the signal's reason, or with what `work` throws, once all that was begun has ended.
 */
export async function inParallel<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  width: number,
  signal: AbortSignal,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  try {
    for await (const item of items) {
      signal.throwIfAborted()
      const task = work(item).finally(() => running.delete(task))
      // Also heard of below; until then it may fail while the next item is waited for.
      task.catch(() => {})
      running.add(task)
      if (running.size >= width) await Promise.race(running)
    }
    await Promise.all(running)
    signal.throwIfAborted()
  } finally {
    await Promise.allSettled(running)
  }
}
