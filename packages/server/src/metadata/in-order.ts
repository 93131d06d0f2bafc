/**
 * Waits for queries that were begun one after the other without waiting, so that a database far away gets
 * them at once. Those that are `prepared` get there in this order, and before others; so only of those may one
 * need what another has done.
 *
 * @throws what the first that failed did: those behind it may have failed because of it.
 */
export async function inOrder(queries: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(queries)
  for (const query of queries) await query
}
