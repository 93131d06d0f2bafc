/** What the machine, Node and Fastify take for a part of the work, which no server on them beats. */

import { createHash, randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { cofferHead, curl, curlUpload, runLoad, uploadOf } from '../clients.ts'
import { flush, median } from '../measure.ts'
import { startBare } from '../servers/program.ts'
import type { Row } from '../table.ts'

const MiB = 1024 * 1024
const pieces = 512
const piece = randomBytes(MiB)
const rounds = 5
const connections = 64

/** @param folder on the disk; @param memory a folder without one. */
export async function measureFloors(folder: string, memory: string): Promise<Row[]> {
  await using bare = await startBare(folder)
  await using fastify = await startBare(folder, 'fastify')
  const large = join(memory, `coffer-bench-${process.pid}.bin`)
  write(large)
  try {
    const { head, body } = uploadOf(randomBytes(4096))
    const range = cofferHead('GET /v1/files/file-1/content', ['Range: bytes=0-1048575'])
    return [
      seconds('SHA-256 of 512 MiB', await repeat(hash)),
      seconds('512 MiB written and synced, on disk', await repeat(() => writeTo(folder))),
      milliseconds('4 KiB appended and synced', await repeat(() => append(folder)), appended),
      seconds(
        '512 MiB by curl as a form to bare node:http, which drops it',
        await repeat(() => curl('-o', '/dev/null', ...curlUpload(bare.port, large))),
      ),
      milliseconds(
        '4 KiB as a form to bare node:http',
        await repeat(() => load(bare.port, head, { rounds: 10_000, body })),
        10_000,
      ),
      milliseconds(
        'one MiB of its memory from bare node:http',
        await repeat(() =>
          load(bare.port, range, { rounds: 1000, width: 1, expected: 'HTTP/1.1 206' }),
        ),
        1000,
      ),
      milliseconds(
        'a file’s JSON from Fastify',
        await repeat(() => load(fastify.port, cofferHead('GET /v1/files/file-1'), {})),
        10_000,
      ),
    ]
  } finally {
    rmSync(large)
  }
}

interface LoadOptions {
  readonly rounds?: number
  readonly body?: string
  readonly width?: number
  readonly expected?: string
}

function load(
  port: number,
  head: string,
  { rounds = 10_000, body = '', width = connections, expected = 'HTTP/1.1 200' }: LoadOptions,
) {
  return runLoad({ port, connections: width, heads: [head], rounds, body, expected })
}

/** @returns the median of the seconds, or of those that a load says it took. */
async function repeat(work: () => unknown): Promise<number> {
  const all: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    flush()
    const began = performance.now()
    const result = await work()
    const took = (performance.now() - began) / 1000
    const isLoad = typeof result === 'object' && result !== null && 'seconds' in result
    all.push(isLoad ? Number(result.seconds) : took)
  }
  return median(all)
}

function hash(): void {
  const sum = createHash('sha256')
  for (let at = 0; at < pieces; at += 1) sum.update(piece)
  sum.digest()
}

function writeTo(folder: string): void {
  const path = join(folder, `coffer-bench-${process.pid}.bin`)
  write(path)
  rmSync(path)
}

function write(path: string): void {
  const file = openSync(path, 'w')
  for (let at = 0; at < pieces; at += 1) writeSync(file, piece)
  fdatasyncSync(file)
  closeSync(file)
}

const appended = 200

function append(folder: string): void {
  const path = join(folder, `coffer-bench-${process.pid}.log`)
  const file = openSync(path, 'w')
  for (let at = 0; at < appended; at += 1) {
    writeSync(file, piece, 0, 4096)
    fdatasyncSync(file)
  }
  closeSync(file)
  rmSync(path)
}

function seconds(work: string, figure: number): Row {
  return { work: `floor: ${work}, in seconds`, measured: `${figure.toFixed(3)} s`, figure }
}

function milliseconds(work: string, total: number, count: number): Row {
  const figure = (total / count) * 1000
  const rate = (count / total).toFixed(0)
  return { work: `floor: ${work}, in milliseconds`, measured: `${rate}/s`, figure }
}
