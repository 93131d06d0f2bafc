/**
 * Room that is kept for a database whose disk is full: SQLite needs some for every change, so that
 * without it not even a deletion could free any.
 */

import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

const MiB = 1024 * 1024
const ballastBytes = 8 * MiB

/** How long the disk is left alone before the room is taken again. */
const restMilliseconds = 1000

export interface Ballast {
  /** Gives the room to the database. @returns whether there was any left to give. */
  drop(): boolean
  /** Whether there is none, as the disk is full or was lately. */
  isGiven(): boolean
  /** Takes the room again, if it was given some time ago and the disk has it. */
  restore(): void
}

/** @param path of the database. */
export function createBallast(path: string): Ballast {
  const ballast = `${path}-ballast`
  // One that a crash has left in part is none.
  let isThere = statSync(ballast, { throwIfNoEntry: false })?.size === ballastBytes
  let lookAgainAt = 0

  return {
    drop() {
      if (!isThere) return false
      rmSync(ballast, { force: true })
      isThere = false
      lookAgainAt = performance.now() + restMilliseconds
      return true
    },
    isGiven: () => !isThere,
    restore() {
      if (isThere || performance.now() < lookAgainAt) return
      lookAgainAt = performance.now() + restMilliseconds
      try {
        const { bavail, bsize } = statfsSync(dirname(path))
        // Uploads leave some room free, too; this must not be the end of that.
        if (bavail * bsize < 2 * ballastBytes) return
        fill(ballast)
        isThere = true
      } catch {
        // Whatever it is, it is met again by who writes; until then nothing grows.
        rmSync(ballast, { force: true })
      }
    },
  }
}

function fill(path: string): void {
  const file = openSync(path, 'w', 0o600)
  try {
    const piece = Buffer.alloc(MiB)
    for (let at = 0; at < ballastBytes; at += MiB) {
      if (writeSync(file, piece) < MiB) throw new Error('The disk took less than it was given.')
    }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Of a database that has no file. */
export const noBallast: Ballast = { drop: () => false, isGiven: () => false, restore() {} }
