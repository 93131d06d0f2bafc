/** One large file up and down, beside nginx: on a disk, and in memory. */

import { randomFillSync } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cofferHead, curl, curlAsk, runLoad } from '../clients.ts'
import { flush, inTurn } from '../measure.ts'
import { startCoffer } from '../servers/coffer.ts'
import { startNginx } from '../servers/nginx.ts'
import type { Server } from '../servers/program.ts'
import { store, timedStore } from '../store.ts'
import type { Row } from '../table.ts'
import { secondsOf, type Timed, timed, usageOf } from '../timed.ts'

const MiB = 1024 * 1024
const bytes = 512 * MiB
const rounds = 5
const ranges = 1000

export interface Place {
  /** As a row names it. */
  readonly name: string
  readonly folder: string
  /** The most of nginx's time, of an upload and of a download. */
  readonly upload: number
  readonly download: number
}

export async function measureLargeFiles(place: Place): Promise<Row[]> {
  await using coffer = await startCoffer(place.folder)
  await using nginx = await startNginx(place.folder)
  await mkdir(join(nginx.folder, 'files'))
  // In memory, so that no disk is read while another is measured.
  const path = join('/dev/shm', `coffer-bench-${process.pid}.bin`)
  await writeRandom(path)
  try {
    const uploads = await inTurn(
      rounds,
      () => timedStore(coffer, path),
      () => put(nginx, path),
    )
    const id = await store(coffer, path)
    await put(nginx, path)
    const downloads = await inTurn(
      rounds,
      () => timed(coffer, () => discard(...curlAsk(coffer.port, `/${id}/content`))),
      () => timed(nginx, () => discard(urlOf(nginx))),
    )
    const range = `Range: bytes=${bytes / 2}-${bytes / 2 + MiB - 1}`
    const cofferRange = cofferHead(`GET /v1/files/${id}/content`, [range])
    const nginxRange = ['GET /large.bin HTTP/1.1', 'Host: bench', range, '', ''].join('\n')
    const middles = await inTurn(
      rounds,
      () => timed(coffer, () => askRanges(coffer, cofferRange)),
      () => timed(nginx, () => askRanges(nginx, nginxRange)),
    )
    const { name } = place
    return [
      row(`512 MiB upload ${name}, beside nginx DAV PUT`, uploads, place.upload),
      row(`512 MiB download ${name}, beside nginx`, downloads, place.download),
      row(`${ranges} ranges of 1 MiB ${name}, beside nginx`, middles, place.download),
    ]
  } finally {
    await rm(path)
  }
}

/** To the same name each time, which replaces the file. */
function put(nginx: Server, path: string): Promise<Timed> {
  flush()
  return timed(nginx, () => discard('-T', path, urlOf(nginx)))
}

async function discard(...args: readonly string[]): Promise<void> {
  await curl('-o', '/dev/null', ...args)
}

async function askRanges({ port }: Server, head: string): Promise<void> {
  const expected = 'HTTP/1.1 206'
  await runLoad({ port, connections: 1, heads: [head], rounds: ranges, body: '', expected })
}

function urlOf({ port }: Server): string {
  return `http://127.0.0.1:${port}/large.bin`
}

function row(work: string, { a, b }: { a: Timed[]; b: Timed[] }, most: number): Row {
  return {
    work,
    measured: `${secondsOf(a).toFixed(3)} s, nginx ${secondsOf(b).toFixed(3)} s`,
    figure: secondsOf(a) / secondsOf(b),
    goal: { most },
    ...usageOf(a),
  }
}

/** 512 MiB. */
export async function writeRandom(path: string): Promise<void> {
  await using handle = await open(path, 'w')
  const piece = Buffer.alloc(MiB)
  for (let left = bytes; left > 0; left -= MiB) await handle.writeFile(randomFillSync(piece))
}
