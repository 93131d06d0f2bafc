/** Memory in which uploads gather parts: bounded for all together, and never given in a way that stalls. */

import { smallBytes } from './blob-driver.ts'

const KiB = 1024
const MiB = 1024 * KiB

/**
 * Of each part but the last. S3 asks for 5 MiB or more and takes 10,000 parts, which makes 80 GiB of a
 * blob; larger parts would cost memory, smaller ones a round trip more often. Whole pieces.
 */
export const partBytes = 8 * MiB

/** What S3 takes of a part that is not the last. */
export const leastPartBytes = 5 * MiB

/**
 * For which an upload may wait for a piece of its content while another waits for memory. A client that
 * sends less than 52 KiB in a second is beyond it.
 */
const patienceMilliseconds = 10_000

/** Who waits is served in the order in which it came. */
export interface UploadMemory {
  /** An empty part, which holds nothing yet. */
  part(): Part
  /** Bytes held now. */
  readonly heldBytes: number
}

/** What is gathered of one upload, for as long as it may have to be sent again. */
export interface Part {
  readonly bytes: number
  /**
   * Waits for the next piece of the content; undefined if the part must give way before, as that
   * takes too long while others wait.
   */
  next<Next>(next: Promise<Next>): Promise<Next | undefined>
  /** Copies a piece, once there is memory for it. */
  add(piece: Uint8Array): Promise<void>
  /** All that was added, valid until the end. */
  content(): Uint8Array
  /** Gives the memory back; nothing is added any more. */
  end(): void
}

/** So many whole ones are kept for parts to come, as new memory costs a fifth of a write's time. */
const keptBuffers = 4

interface Claim {
  shared: number
  reserved: number
  /** While it waits for content. */
  content: { readonly since: number; giveWay(): void } | undefined
}

interface Waiting {
  readonly claim: Claim
  readonly bytes: number
  readonly since: number
  go(): void
}

/**
 * @param totalBytes two parts or more. One part of it is a reserve that belongs to one upload at a
 *   time: when all the rest is held by uploads that wait for more, that one still comes to a whole
 *   part, sends it and gives everything back, then the next. So they never wait for each other.
 * @param patience in milliseconds. Without, they would wait for clients that send next to nothing.
 */
export function createUploadMemory(
  totalBytes: number,
  patience = patienceMilliseconds,
): UploadMemory {
  let shared = totalBytes - partBytes
  let reserveOwner: Claim | undefined
  let waiting: Waiting[] = []
  let looking: NodeJS.Timeout | undefined
  const holding = new Set<Claim>()
  const kept: Buffer<ArrayBuffer>[] = []

  function take(claim: Claim, bytes: number): boolean {
    const isTaken = takeShared(claim, bytes) || takeReserved(claim, bytes)
    if (isTaken) holding.add(claim)
    return isTaken
  }

  function takeShared(claim: Claim, bytes: number): boolean {
    if (shared < bytes) return false
    shared -= bytes
    claim.shared += bytes
    return true
  }

  function takeReserved(claim: Claim, bytes: number): boolean {
    reserveOwner ??= claim
    if (reserveOwner !== claim) return false
    claim.reserved += bytes
    return true
  }

  async function grow(claim: Claim, bytes: number): Promise<void> {
    // The owner of the reserve passes those who wait, as they wait for it.
    if (waiting.length === 0 || claim === reserveOwner) {
      if (take(claim, bytes)) return
    }
    looking ??= setInterval(askSlow, patience / 10).unref()
    await new Promise<void>((resolve) => {
      waiting.push({ claim, bytes, since: performance.now(), go: resolve })
    })
  }

  function askSlow(): void {
    const [first] = waiting
    if (first === undefined) {
      clearInterval(looking)
      looking = undefined
      return
    }
    const since = performance.now() - patience
    if (first.since > since) return
    for (const { content } of holding) if (content && content.since <= since) content.giveWay()
  }

  function release(claim: Claim): void {
    holding.delete(claim)
    shared += claim.shared
    claim.shared = 0
    claim.reserved = 0
    if (reserveOwner === claim) reserveOwner = undefined
    while (waiting[0] !== undefined && take(waiting[0].claim, waiting[0].bytes)) {
      const [first, ...rest] = waiting
      waiting = rest
      first?.go()
    }
  }

  return {
    get heldBytes() {
      return totalBytes - partBytes - shared + (reserveOwner?.reserved ?? 0)
    },
    part: () => createPart({ grow, release, kept }),
  }
}

interface PartNeeds {
  grow(claim: Claim, bytes: number): Promise<void>
  release(claim: Claim): void
  /** Whole buffers that nobody has. */
  readonly kept: Buffer<ArrayBuffer>[]
}

function createPart({ grow, release, kept }: PartNeeds): Part {
  const claim: Claim = { shared: 0, reserved: 0, content: undefined }
  let buffer = Buffer.alloc(0)
  let bytes = 0

  async function reserve(wanted: number): Promise<void> {
    const held = claim.shared + claim.reserved
    // Small content is no more than its upload holds anyway, and waits for nobody.
    if (wanted <= Math.max(held, smallBytes)) return
    await grow(claim, wanted - held)
  }

  /** In steps that double: what is not filled yet takes no memory of the machine. */
  function widen(wanted: number): void {
    if (wanted <= buffer.length) return
    const wider = kept.pop() ?? Buffer.allocUnsafeSlow(lengthFor(wanted, buffer.length))
    buffer.copy(wider, 0, 0, bytes)
    buffer = wider
  }

  function end(): void {
    if (buffer.length === partBytes && kept.length < keptBuffers) kept.push(buffer)
    buffer = Buffer.alloc(0)
    bytes = 0
    release(claim)
  }

  return {
    get bytes() {
      return bytes
    },
    async next(next) {
      const { promise: mustGiveWay, resolve: giveWay } = Promise.withResolvers<undefined>()
      claim.content = { since: performance.now(), giveWay: () => giveWay(undefined) }
      try {
        return await Promise.race([next, mustGiveWay])
      } finally {
        claim.content = undefined
      }
    },
    async add(piece) {
      const wanted = bytes + piece.length
      await reserve(wanted)
      widen(wanted)
      // Not `set`, which copies from shared memory byte by byte (see intake.ts).
      Buffer.from(piece.buffer, piece.byteOffset, piece.length).copy(buffer, bytes)
      bytes = wanted
    },
    content: () => buffer.subarray(0, bytes),
    end,
  }
}

function lengthFor(wanted: number, length: number): number {
  return Math.min(partBytes, Math.max(wanted, 2 * length))
}
