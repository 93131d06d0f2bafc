/** A server under load on file systems whose power is cut, again and again. */

import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { findDebris } from '../../packages/cli/test/debris.ts'
import { type Findings, inspect } from '../../packages/cli/test/inspection.ts'
import {
  type Acknowledged,
  type LoadOptions,
  nothingAcknowledged,
  startLoad,
} from '../../packages/cli/test/load.ts'
import {
  type Coffer,
  type StartOptions,
  startCoffer,
} from '../../packages/cli/test/start-coffer.ts'
import { cutPower, type FileSystem, type FileSystemType, makeFileSystem } from './file-system.ts'
import { freeze } from './frozen-process.ts'
import { tries } from './length.ts'

export interface Layout {
  readonly type: FileSystemType
  /** Whether rows are on a file system of their own. */
  readonly split: boolean
}

export interface Cut {
  /** Files acknowledged since the cut before, deleted ones too. */
  readonly stored: number
  readonly deleted: number
  /** Requests under way when the power went. */
  readonly interrupted: number
  readonly findings: Findings
  readonly debris: readonly string[]
  readonly startMilliseconds: number
}

export interface PowerCutOptions {
  readonly layout: Layout
  readonly loads: readonly LoadOptions[]
  readonly command?: StartOptions['command']
}

/** How long the load goes on before the power is cut: so many answers, and up to so long. */
const leastAnswers = tries({ short: 30, long: 220 })
const mostMilliseconds = tries({ short: 400, long: 1000 })

/**
 * Cuts the power once for each round that is asked for, and compares what the restarted server has
 * with all that was acknowledged. Each round goes on with the files and the server of the one before.
 *
 * @throws if the server does not start again.
 */
export async function* cutPowerUnderLoad(options: PowerCutOptions): AsyncGenerator<Cut> {
  const { layout, loads, command } = options
  await using site = new AsyncDisposableStack()
  const blobs = site.use(await makeFileSystem(layout.type))
  const rows = layout.split ? site.use(await makeFileSystem(layout.type)) : blobs
  const fileSystems = [...new Set([blobs, rows])]
  const start = async () => site.use(await startOn({ blobs, rows }, command))

  const known = nothingAcknowledged()
  let coffer = await start()
  for (;;) {
    const before = sizes(known)
    const writing = loads.map((load) => startLoad(coffer, known, load))
    await writing[0]?.acknowledged(leastAnswers)
    await setTimeout(randomInt(mostMilliseconds))

    await freeze(coffer.pid)
    // What was answered before lies in the sockets and is read now.
    for (let turn = 0; turn < 50; turn += 1) await setImmediate()
    await cutPower(fileSystems)
    await coffer.kill()
    const ends = await Promise.all(writing.map(({ ended }) => ended))
    for (const fileSystem of fileSystems) await fileSystem.remount()

    coffer = await start().catch((cause: unknown) => {
      throw new NotStarted('The server does not start after a power cut.', { cause })
    })
    const { listed, findings } = await inspect(coffer, known)
    const after = sizes(known)
    yield {
      stored: after.stored - before.stored,
      deleted: after.deleted - before.deleted,
      interrupted: ends.reduce((sum, end) => sum + end, 0),
      findings,
      debris: await findDebris({ rows: dataFolder(rows), blobs: dataFolder(blobs) }, listed),
      startMilliseconds: coffer.startMilliseconds,
    }
  }
}

/** What was left by a power cut is no store any more: a fault of what was cut. */
export class NotStarted extends Error {
  override readonly name = 'NotStarted'
}

interface Site {
  readonly blobs: FileSystem
  readonly rows: FileSystem
}

function startOn({ blobs, rows }: Site, command: StartOptions['command']): Promise<Coffer> {
  return startCoffer({
    folder: dataFolder(blobs),
    env: { COFFER_METADATA_URL: `sqlite:${join(dataFolder(rows), 'coffer.db')}` },
    ...(command === undefined ? {} : { command }),
  })
}

function dataFolder({ path }: FileSystem): string {
  return join(path, 'data')
}

function sizes({ stored, deleted }: Acknowledged): { stored: number; deleted: number } {
  return { stored: stored.size + deleted.size, deleted: deleted.size }
}
