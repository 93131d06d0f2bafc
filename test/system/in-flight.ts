/** Does many things, a bounded number of them at the same time. */

/** @throws what the first failure throws, once those under way have ended. */
export async function inFlight<Item>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failed = false
  async function lane(): Promise<void> {
    for (let next = iterator.next(); !failed && next.done !== true; next = iterator.next()) {
      try {
        await work(next.value)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: atOnce }, lane))
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason
}

/** Counts from zero. */
export function* upTo(count: number): Generator<number> {
  for (let at = 0; at < count; at += 1) yield at
}
