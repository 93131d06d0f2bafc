/** What a proxy is to do to which of the requests that come by, whatever they are. */

export interface FaultPlan<Request, Wanted, Fault> {
  /** Every request that came, in order. */
  readonly requests: readonly Request[]
  /** Puts a fault into the next requests of one kind. */
  fail(wanted: Wanted, fault: Fault, times?: number): void
  /** No more faults. */
  heal(): void
  /** Calls back when the request has come, before anything is done with it. */
  before(wanted: Wanted, act: () => Promise<void>): void
}

export interface FaultSource<Request, Wanted, Fault> extends FaultPlan<Request, Wanted, Fault> {
  /** For the proxy: a request has come. Gives what is to be done to it. */
  arrive(request: Request): Promise<Fault | undefined>
}

export function createFaultPlan<Request, Wanted, Fault>(
  isMeant: (request: Request, wanted: Wanted) => boolean,
): FaultSource<Request, Wanted, Fault> {
  const requests: Request[] = []
  let faults: { wanted: Wanted; fault: Fault; times: number }[] = []
  let acts: { wanted: Wanted; act: () => Promise<void> }[] = []

  return {
    requests,
    fail: (wanted, fault, times = 1) => void faults.push({ wanted, fault, times }),
    heal() {
      faults = []
      acts = []
    },
    before: (wanted, act) => void acts.push({ wanted, act }),
    async arrive(request) {
      requests.push(request)
      const due = acts.find(({ wanted }) => isMeant(request, wanted))
      acts = acts.filter((one) => one !== due)
      await due?.act()
      const found = faults.find(({ wanted, times }) => times > 0 && isMeant(request, wanted))
      if (found !== undefined) found.times -= 1
      return found?.fault
    },
  }
}
