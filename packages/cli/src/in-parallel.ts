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
  // Kept here, as work may fail while the next item is waited for and nobody listens to it.
  let failure: { readonly reason: unknown } | undefined
  try {
    for await (const item of items) {
      signal.throwIfAborted()
      if (failure !== undefined) break
      const task = work(item)
        .catch((reason: unknown) => {
          failure ??= { reason }
        })
        .finally(() => running.delete(task))
      running.add(task)
      if (running.size >= width) await Promise.race(running)
    }
  } finally {
    await Promise.all(running)
  }
  signal.throwIfAborted()
  if (failure !== undefined) throw failure.reason
}
