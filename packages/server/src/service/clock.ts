/** Where the service takes the time from. */
export interface Clock {
  /** Whole Unix seconds. */
  now(): number
}

export const systemClock: Clock = { now: () => Math.floor(Date.now() / 1000) }
