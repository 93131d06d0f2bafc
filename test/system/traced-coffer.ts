/** A server of which every system call that matters is written down, and a client that asks one thing at a time. */

import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect } from 'vitest'
import { z } from 'zod'
import { findBlob, listRows } from '../../packages/cli/test/data-folder.ts'
import { someBytes } from '../../packages/cli/test/load.ts'
import { cofferProgram, makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { readSystemCalls, type SystemCall, traceOptions } from './system-calls.ts'

export interface Traced {
  /** A folder that was there before the start; all are gone by now. */
  readonly root: string
  /** The data folder, which the start has made within one that it had to make too. */
  readonly folder: string
  readonly calls: readonly SystemCall[]
  readonly uploads: readonly Request[]
  /** Of the same files, in the same order. */
  readonly deletions: readonly Request[]
}

export interface Request {
  readonly bytes: number
  /** The id of the blob. */
  readonly blob: string
  /** Counted from 0, among all answers of the server. */
  readonly answer: number
}

const Id = z.object({ id: z.string() })

/** Starts a server on a new folder, uploads files of these sizes and deletes them again. */
export async function traceCoffer(
  sizes: readonly number[],
  command: readonly string[] = [cofferProgram],
): Promise<Traced> {
  await using root = await makeFolder()
  const trace = join(root.path, 'trace')
  const folder = join(root.path, 'outer', 'data')
  await using coffer = await startCoffer({
    folder,
    // With -D the process that is started is the server, and strace beside it.
    command: ['strace', '-D', '--seccomp-bpf', ...traceOptions, '-o', trace, ...command],
    // Only what is asked for is to happen.
    env: { COFFER_SWEEP_SECONDS: '86400' },
  })
  // The first sweep ends with it.
  const smallLog = join(folder, 'blobs', 'small-blobs.db-wal')
  await expect.poll(async () => (await stat(smallLog)).size, { timeout: 10_000 }).toBe(0)

  let answers = 0
  async function ask(answering: Promise<Response>): Promise<number> {
    const answer = await answering
    await answer.arrayBuffer()
    expect(answer.status).toBe(200)
    answers += 1
    return answers - 1
  }

  async function upload(bytes: number): Promise<Request & { id: string }> {
    const answer = await coffer.upload(someBytes(bytes))
    const { id } = Id.parse(await answer.json())
    answers += 1
    return { id, bytes, blob: basename(findBlob(folder, id)), answer: answers - 1 }
  }

  async function remove({ id, bytes, blob }: Request & { id: string }): Promise<Request> {
    const answer = await ask(coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' }))
    // The bytes go after the answer; the next answer marks the end of that.
    await expect.poll(() => listRows(folder).loose, { timeout: 10_000 }).not.toContain(blob)
    await ask(coffer.fetch('/v1/files'))
    return { bytes, blob, answer }
  }

  // The first upload has ids for blobs listed, for those that follow too.
  await upload(1)
  const files: (Request & { id: string })[] = []
  for (const bytes of sizes) files.push(await upload(bytes))
  const deletions: Request[] = []
  for (const file of files) deletions.push(await remove(file))

  await coffer.kill()
  const calls = await readSystemCalls(trace)
  return { root: root.path, folder, calls, uploads: files, deletions }
}
