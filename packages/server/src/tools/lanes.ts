/** Works that run side by side, as many as their weights allow. */

export interface Lanes {
  /**
   * Begins a work, once there is room for it.
   *
   * @throws what a work before it failed with; then none is begun any more.
   */
  begin(weight: number, work: () => Promise<void>): Promise<void>
  /** Resolves once all have ended. @throws what the first that failed did. */
  end(): Promise<void>
}

/** @param width what the weights of all works that run come to at most; one alone may have more. */
export function createLanes(width: number): Lanes {
  const running = new Set<Promise<void>>()
  let used = 0
  let failure: { readonly reason: unknown } | undefined

  return {
    async begin(weight, work) {
      while (running.size > 0 && used + weight > width) await Promise.race(running)
      if (failure !== undefined) throw failure.reason
      used += weight
      const task = work()
        .catch((reason: unknown) => {
          failure ??= { reason }
        })
        .finally(() => {
          running.delete(task)
          used -= weight
        })
      running.add(task)
    },
    async end() {
      await Promise.all(running)
      if (failure !== undefined) throw failure.reason
    },
  }
}
