/** Where the service takes the time from. */
export interface Clock {
  /** Whole Unix seconds. */
  now(): number
  /** Whether it is the machine's, and so may be off from those of other machines. */
  readonly isOfMachine?: true
}

export const systemClock: Clock = {
  now: () => Math.floor(Date.now() / 1000),
  isOfMachine: true,
}
