/**
 * The servers that run on one pair of stores, each known to the others by signs that it gives. Clocks are
 * not compared: whoever gives no sign while others look again and again is gone.
 */

import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { ServerRow } from '../metadata/servers.ts'

/** Seconds between two signs of a server. */
export const signSeconds = 10

/** As many looks, each with a sign of one's own, at another server that gives none: then it is gone. */
const patience = 6

/** A part of what all servers share: of so many equal ones, from the first to before the second. */
export interface Share {
  readonly from: number
  readonly to: number
}

export interface Presence {
  readonly server_id: string
  /** Gives a sign, looks at the others, and hands what those that are gone were writing to the sweep. */
  renew(): Promise<void>
  /** How often the others took this server for gone, and with it all it was writing then. */
  lapses(): number
  /** Which of so many parts are this server's to look after, as far as it knows the others. */
  share(parts: number): Share
  /** Says that this server ends, so that nobody needs to wait for it. */
  leave(): Promise<void>
}

export interface PresenceNeeds {
  readonly metadata: Pick<MetadataStore, 'renewServer' | 'forgetServer'>
  readonly server_id: string
  /** Whether others may run on the same stores. Otherwise all others are gone. */
  readonly isShared: boolean
}

export function createPresence({ metadata, server_id, isShared }: PresenceNeeds): Presence {
  /** Of the others: their last sign, and how often it has been seen. */
  let others = new Map<string, { signs: number; seen: number }>()
  let own: ServerRow | undefined
  let place = { index: 0, of: 1 }
  let lapses = 0

  return {
    server_id,
    async renew() {
      const servers = await metadata.renewServer({ id: server_id })
      const now = servers.find(({ id }) => id === server_id)
      if (own !== undefined && now?.signs !== own.signs + 1) lapses += 1
      own = now
      const looked: typeof others = new Map()
      for (const { id, signs } of servers) {
        if (id === server_id) continue
        const before = others.get(id)
        const seen = before?.signs === signs ? before.seen + 1 : 0
        if (isShared && seen < patience) looked.set(id, { signs, seen })
        else await metadata.forgetServer({ id, signs })
      }
      others = looked
      const living = [server_id, ...others.keys()].sort()
      place = { index: living.indexOf(server_id), of: living.length }
    },
    lapses: () => lapses,
    share(parts) {
      const borderOf = (index: number) => Math.ceil((index * parts) / place.of)
      return { from: borderOf(place.index), to: borderOf(place.index + 1) }
    },
    async leave() {
      if (own !== undefined) await metadata.forgetServer(own)
    },
  }
}
