/** What must come before what, for a promise to hold at a power cut; each check gives the faults. */

import { basename, dirname, join } from 'node:path'
import type { SystemCall } from './system-calls.ts'
import type { Request, Traced } from './traced-coffer.ts'

const writes = ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2']
const syncs = ['fsync', 'fdatasync']

interface Step {
  readonly what: string
  readonly calls: readonly (SystemCall | undefined)[]
}

/** Each step must be there, succeed, and begin after the one before has ended. */
function inOrder(steps: readonly Step[]): string[] {
  return steps.flatMap(({ what, calls }, index) => {
    const failed = calls.filter((call) => call?.result === undefined || call.result < 0)
    if (calls.length === 0 || failed.length > 0) return [`${what} is missing or failed`]
    const before = steps[index - 1]
    if (before === undefined || end(before.calls) < begin(calls)) return []
    return [`${what} begins before this has ended: ${before.what}`]
  })
}

function begin(calls: Step['calls']): number {
  return Math.min(...calls.map((call) => call?.began ?? Number.POSITIVE_INFINITY))
}

function end(calls: Step['calls']): number {
  return Math.max(...calls.map((call) => call?.ended ?? Number.NEGATIVE_INFINITY))
}

/** Bytes durable, then the row durable, then the answer. */
export function checkUpload(traced: Traced, request: Request): string[] {
  const { window, answer } = windowOf(traced, request)
  const log = (name: string) => writesAndSync(window, join(traced.folder, name))
  const rows = log('coffer.db-wal')
  const small = log('blobs/small-blobs.db-wal')
  const large = draftSteps(traced, request.blob, window)

  if (large.writes.length > 0 && small.writes.length > 0) return ['the bytes are written twice']
  const bytes =
    large.writes.length > 0
      ? large.steps
      : [
          { what: 'the write of the bytes to the database', calls: small.writes },
          { what: 'the sync of the small database', calls: [small.sync] },
        ]
  return inOrder([
    ...bytes,
    { what: 'the write of the row', calls: rows.writes },
    { what: 'the sync of the row', calls: [rows.sync] },
    { what: 'the answer', calls: [answer] },
  ])
}

function draftSteps({ folder, calls }: Traced, blob: string, window: readonly SystemCall[]) {
  const draft = join(folder, 'blobs', 'tmp', blob)
  const place = join(folder, 'blobs', blob.slice(0, 2))
  const { writes, sync } = writesAndSync(window, draft)
  const link = window.find(({ name, strings }) => name === 'link' && strings[0] === draft)
  const folderSync = calls.find(
    (call) => isSync(call, place) && link !== undefined && call.began > link.ended,
  )
  return {
    writes,
    steps: [
      { what: 'the write of the draft', calls: writes },
      { what: 'the sync of the draft', calls: [sync] },
      { what: 'the link', calls: link?.strings[1] === join(place, blob) ? [link] : [] },
      { what: 'the sync of the folder', calls: [folderSync] },
    ],
  }
}

/** The row durably gone, then the answer; and then too the bytes, durably, and what lists them. */
export function checkDeletion(traced: Traced, request: Request): string[] {
  const { window, answer } = windowOf(traced, request)
  const { folder, blob } = { ...traced, ...request }
  const rowLog = join(folder, 'coffer.db-wal')
  const smallLog = join(folder, 'blobs', 'small-blobs.db-wal')
  const path = join(folder, 'blobs', blob.slice(0, 2), blob)
  // Of what follows the answer, all that comes before the next.
  const until = traced.calls.find((call) => isAnswer(call) && call.began > answer.ended)?.began
  const from = window[0]?.began ?? answer.began
  const calls = traced.calls.filter(
    ({ began }) => began >= from && began < (until ?? Number.POSITIVE_INFINITY),
  )

  const commit = calls.find((call) => isSync(call, rowLog))
  const row: Step[] = [
    {
      what: 'the write that removes the row',
      calls: [calls.find((call) => isWrite(call, rowLog))],
    },
    { what: 'the sync of the rows', calls: [commit] },
  ]
  const unlink = calls.find(
    ({ name, strings }) => name.startsWith('unlink') && strings.includes(path),
  )
  const smallWrites = calls.filter((call) => isWrite(call, smallLog))
  const gone = unlink === undefined ? smallWrites : [unlink]
  const goneSync = calls.find(
    (call) =>
      isSync(call, unlink === undefined ? smallLog : dirname(path)) && call.began > end(gone),
  )
  const forgotten = calls.findLast((call) => isWrite(call, rowLog))
  return [
    ...inOrder([...row, { what: 'the answer', calls: [answer] }]),
    ...inOrder([
      ...row.slice(1),
      { what: 'the removal of the bytes', calls: gone },
      { what: 'the sync of the removal', calls: [goneSync] },
      { what: 'the write that forgets the blob', calls: [forgotten] },
    ]),
  ]
}

/** All that the first start makes is there to stay before anyone is told that it serves. */
export function checkFirstStart({ root, folder, calls }: Traced): string[] {
  const listening = calls.find(
    ({ name, strings }) => name === 'write' && strings[0]?.startsWith('Coffer is listening'),
  )
  const files = ['coffer.db', 'coffer.db-wal', 'blobs/small-blobs.db', 'blobs/small-blobs.db-wal']
  const made = [
    ...calls.filter((call) => makesFolder(call, root)),
    ...files.map((name) => {
      return calls.find((call) => call.name === 'openat' && call.strings[0] === join(folder, name))
    }),
  ]
  return made.flatMap((call) => {
    const path = call?.strings[0] ?? ''
    const sync = calls.find(
      (other) => isSync(other, dirname(path)) && other.began > (call?.ended ?? 0),
    )
    return inOrder([
      { what: `the making of ${basename(path)}`, calls: [call] },
      { what: `the sync of the folder that has ${basename(path)}`, calls: [sync] },
      { what: 'the line that it listens', calls: [listening] },
    ])
  })
}

/** The syncs of the bytes of an upload that went to a file. */
export function draftSyncs({ folder, calls }: Traced, { blob }: Request): number {
  return calls.filter((call) => isSync(call, join(folder, 'blobs', 'tmp', blob))).length
}

/** The folders that the start has made. */
export function foldersMade({ root, calls }: Traced): number {
  return calls.filter((call) => makesFolder(call, root)).length
}

/** All that began since the answer before, as requests come one by one, up to this answer. */
function windowOf({ calls }: Traced, request: Request) {
  const answers = calls.filter(isAnswer)
  const answer = answers[request.answer]
  const before = answers[request.answer - 1]
  if (answer === undefined || before === undefined) {
    throw new Error(
      `The trace has ${answers.length} answers, and none of number ${request.answer}.`,
    )
  }
  const window = calls.filter(({ began }) => began > before.ended && began < answer.began)
  return { window, answer }
}

function writesAndSync(window: readonly SystemCall[], path: string) {
  return {
    writes: window.filter((call) => isWrite(call, path)),
    sync: window.findLast((call) => isSync(call, path)),
  }
}

function isWrite({ name, target }: SystemCall, path: string): boolean {
  return writes.includes(name) && target === path
}

function isSync({ name, target }: SystemCall, path: string): boolean {
  return syncs.includes(name) && target === path
}

function isAnswer({ target, strings }: SystemCall): boolean {
  return target?.startsWith('socket:') === true && strings[0]?.startsWith('HTTP/1.1 ') === true
}

function makesFolder({ name, strings, result }: SystemCall, root: string): boolean {
  return name.startsWith('mkdir') && result === 0 && strings[0]?.startsWith(`${root}/`) === true
}
