import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { findDebris } from '../../packages/cli/test/debris.ts'
import { inspect, nothingWrong } from '../../packages/cli/test/inspection.ts'
import {
  type Acknowledged,
  nothingAcknowledged,
  sha256,
  someBytes,
} from '../../packages/cli/test/load.ts'
import { type Coffer, makeFolder } from '../../packages/cli/test/start-coffer.ts'
import { attach, findThreads } from './injected-calls.ts'
import { isLong, report } from './length.ts'
import { machineHas } from './needs.ts'
import { findPoints, type Point, startAtRest } from './points.ts'
import { changingCalls } from './system-calls.ts'

const KiB = 1024

interface Operation {
  readonly name: string
  readonly bytes: number
  /** On a file that is there, unless it is an upload. */
  readonly does: 'upload' | 'download' | 'delete'
}

const operations: Operation[] = [
  { name: 'an upload to a file', bytes: 2500 * KiB, does: 'upload' },
  { name: 'an upload to the database', bytes: KiB, does: 'upload' },
  { name: 'a download of a file', bytes: 1200 * KiB, does: 'download' },
  { name: 'a download from the database', bytes: KiB, does: 'download' },
  { name: 'a deletion of a file', bytes: 100 * KiB, does: 'delete' },
  { name: 'a deletion from the database', bytes: KiB, does: 'delete' },
]

const readingCalls = ['read', 'pread64', 'preadv', 'close', 'fstat', 'statx', 'newfstatat']
const calls = [...changingCalls, ...readingCalls]

const possible = machineHas({ strace: 'strace' })

describe.skipIf(!possible)('P22: an error of the disk at the calls of', () => {
  it.each(operations)('$name', async (operation) => {
    const points = await findPoints((coffer) => prepare(coffer, operation, nothingAcknowledged()), {
      calls,
      of: 'the folder',
    })
    const tried = isLong ? points : points.filter(isTelling)
    await using folder = await makeFolder()
    await using traces = await makeFolder()
    const trace = join(traces.path, 'trace')
    const known = nothingAcknowledged()
    const outcomes = new Map<string, number>()
    await using running = new AsyncDisposableStack()
    const coffer = running.use(await startAtRest(folder.path))
    for (const point of tried) {
      const where = `${point.call} ${point.count} of the thread for ${point.thread}`
      const run = await prepare(coffer, operation, known)
      const threads = await findThreads(coffer.pid)
      await using strace = await attach(threads[point.thread], failure(point, trace))
      const outcome = await run()
      // The bytes of a deleted file go after the answer.
      await expect.poll(() => readFile(trace, 'utf8'), { message: where }).toContain('INJECTED')
      await strace[Symbol.asyncDispose]()
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      expect.soft(outcome, where).toMatch(/^(200|503|cut)$/)
      // It goes on as if nothing had been.
      expect.soft(await upload(coffer, KiB, known), where).toBe('200')
      const { findings, listed } = await inspect(coffer, known)
      expect.soft(findings, where).toEqual(nothingWrong)
      expect.soft(listed.toSorted(), where).toEqual([...known.stored.keys()].toSorted())
    }
    await coffer.stop()
    const restarted = running.use(await startAtRest(folder.path))
    const { findings, listed } = await inspect(restarted, known)
    expect(findings).toEqual(nothingWrong)
    expect(await findDebris({ rows: folder.path, blobs: folder.path }, listed)).toEqual([])

    const seen = [...outcomes].map(([outcome, count]) => `${count}×${outcome}`).join(', ')
    report(
      'P22',
      `${operation.name}: EIO at ${tried.length} of its ${points.length} calls: ${seen}; ` +
        'nothing lost, nothing half there, and it went on each time',
    )
    expect(outcomes.keys()).toContain('503')
  })
})

describe.skipIf(!possible)('P22: a disk that fails again and again', () => {
  it('makes the server say that it is not ready, and serve what it can', async () => {
    await using folder = await makeFolder()
    await using coffer = await startAtRest(folder.path)
    const known = nothingAcknowledged()
    const { files } = await findThreads(coffer.pid)
    const point = { thread: 'files', call: 'fdatasync', count: '1+' } as const
    await using strace = await attach(files, failure(point, '/dev/null'))
    for (const _ of [1, 2, 3]) {
      expect((await coffer.fetch('/readyz')).status).toBe(200)
      expect(await upload(coffer, 100 * KiB, known)).toMatch(/^5/)
    }
    expect((await coffer.fetch('/readyz')).status).toBe(503)
    expect((await coffer.fetch('/healthz')).status).toBe(200)
    await strace[Symbol.asyncDispose]()
    expect(await upload(coffer, 100 * KiB, known)).toBe('200')
    expect((await inspect(coffer, known)).findings).toEqual(nothingWrong)
  })
})

function failure(
  { call, count }: Pick<Point, 'call'> & { count: number | string },
  trace: string,
): string[] {
  return ['-e', `trace=${call}`, '-e', `inject=${call}:error=EIO:when=${count}`, '-o', trace]
}

/** @returns what does the operation on a file of its own, and tells its status, or `cut`. */
async function prepare(
  coffer: Coffer,
  { bytes, does }: Operation,
  known: Acknowledged,
): Promise<() => Promise<string>> {
  const before = new Set(known.stored.keys())
  // Before an upload it has ids for blobs listed, which is a commit of its own.
  expect(await upload(coffer, does === 'upload' ? 1 : bytes, known)).toBe('200')
  const [id = ''] = [...known.stored.keys()].filter((stored) => !before.has(stored))
  if (does === 'upload') return () => upload(coffer, bytes, known)
  return () => (does === 'download' ? download : remove)(coffer, id, known)
}

const Id = z.object({ id: z.string() })

async function upload(coffer: Coffer, bytes: number, known: Acknowledged): Promise<string> {
  const content = someBytes(bytes)
  const answer = await coffer.upload(content)
  const body: unknown = await answer.json()
  if (answer.status === 200) known.stored.set(Id.parse(body).id, sha256(content))
  return String(answer.status)
}

async function download(coffer: Coffer, id: string, known: Acknowledged): Promise<string> {
  const answer = await coffer.fetch(`/v1/files/${id}/content`)
  const content = await answer.bytes().catch(() => undefined)
  if (content === undefined) return 'cut'
  if (answer.status === 200) expect(sha256(content)).toBe(known.stored.get(id))
  return String(answer.status)
}

async function remove(coffer: Coffer, id: string, known: Acknowledged): Promise<string> {
  const answer = await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
  await answer.arrayBuffer()
  if (answer.status === 200) {
    known.stored.delete(id)
    known.deleted.add(id)
  }
  return String(answer.status)
}

/** Of all calls of one kind, the first, the last and one between. */
function isTelling(point: Point, _: number, points: readonly Point[]): boolean {
  const alike = points.filter(({ thread, call }) => thread === point.thread && call === point.call)
  return [0, alike.length >> 1, alike.length - 1].some((at) => alike[at] === point)
}
