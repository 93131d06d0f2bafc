/** A file on this machine's disk as something to upload. */

import type { BigIntStats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { UploadSource } from './upload-source.ts'

/** Each piece costs the same few calls, whatever its size; larger ones cost memory and no less time. */
const pieceBytes = 256 * 1024

/** @throws if there is no such file, or it is a folder. */
export async function fileFromPath(path: string): Promise<UploadSource> {
  const facts = await stat(path, { bigint: true })
  if (facts.isDirectory()) throw new Error(`${path} is a folder.`)
  const name = basename(path)
  // The size of a pipe or a device says nothing.
  if (facts.isFile()) return { ...sourceOf(path, facts, 0, Number(facts.size)), name }
  return { name, bytes: undefined, isReplayable: false, open: () => readPieces(path) }
}

function sourceOf(path: string, facts: BigIntStats, start: number, end: number): UploadSource {
  return {
    name: undefined,
    bytes: end - start,
    isReplayable: true,
    open: () => readRange(path, facts, start, end),
    slice: (from, to) => sourceOf(path, facts, start + from, start + to),
  }
}

/** @throws if the file is not as it was: what was announced, or sent before, would be wrong. */
async function* readRange(
  path: string,
  facts: BigIntStats,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  await using handle = await open(path, 'r')
  let at = start
  for (let isEnd = false; at < end && !isEnd; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    isEnd = bytesRead === 0
    at += bytesRead
    if (!isEnd) yield buffer.subarray(0, bytesRead)
  }
  const { size, ino, mtimeNs } = await handle.stat({ bigint: true })
  const isUnchanged = size === facts.size && ino === facts.ino && mtimeNs === facts.mtimeNs
  // Some files of the system have more than their size says.
  const behind = BigInt(end) === size ? await handle.read(Buffer.alloc(1), 0, 1, end) : undefined
  if (at !== end || !isUnchanged || (behind !== undefined && behind.bytesRead > 0)) {
    throw new Error(`${path} changed while it was read.`)
  }
}

async function* readPieces(path: string): AsyncGenerator<Uint8Array> {
  await using handle = await open(path, 'r')
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(pieceBytes))
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}
