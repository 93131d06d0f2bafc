import { describe, expect, it } from 'vitest'
import {
  noFileSync,
  noFolderSync,
  normalCommits,
  noSmallSync,
  rowBeforeBlob,
  unlinkBeforeRow,
} from './breakages.ts'
import { breakBuild } from './broken-build.ts'
import { report } from './length.ts'
import { machineHas } from './needs.ts'
import { type Traced, traceCoffer } from './traced-coffer.ts'
import {
  checkDeletion,
  checkFirstStart,
  checkUpload,
  draftSyncs,
  foldersMade,
} from './write-order.ts'

const KiB = 1024
const MiB = 1024 * KiB

const possible = machineHas({ strace: 'strace' })

// A power cut shows a missing sync by chance, and that of a folder hardly ever; the order of system
// calls shows each of them every time.
describe.skipIf(!possible)('the order of system calls', () => {
  it('makes the bytes durable, then the row, then the answer', async () => {
    const sizes = [0, 1, 16 * KiB, 16 * KiB + 1, 100 * KiB, 3 * MiB, 65 * MiB - 1]
    const traced = await traceCoffer(sizes)
    for (const upload of traced.uploads) {
      expect.soft(checkUpload(traced, upload), `upload of ${upload.bytes} bytes`).toEqual([])
    }
    for (const deletion of traced.deletions) {
      expect
        .soft(checkDeletion(traced, deletion), `deletion of ${deletion.bytes} bytes`)
        .toEqual([])
    }
    expect.soft(checkFirstStart(traced), 'first start').toEqual([])
    // Each 32 MiB on the way and once at the end.
    expect(traced.uploads.map((upload) => draftSyncs(traced, upload))).toEqual([
      ...[0, 0, 0, 1, 1, 1, 3],
    ])
    report(
      'P3',
      `${traced.uploads.length} uploads of 0 B to 65 MiB, ${traced.deletions.length} deletions and ` +
        `a first start with ${foldersMade(traced)} folders, ${traced.calls.length} system calls: ` +
        'each in order',
    )
  })
})

describe.skipIf(!possible)('the order of system calls is wrong in', () => {
  it.each([
    { breakage: noFileSync, notices: 'the sync of the draft is missing or failed' },
    { breakage: noSmallSync, notices: 'the sync of the small database is missing or failed' },
    { breakage: noFolderSync, notices: 'the sync of the folder is missing or failed' },
    { breakage: normalCommits, notices: 'the sync of the row is missing or failed' },
    {
      breakage: rowBeforeBlob,
      notices: /^the write of the row begins before|is missing or failed/,
    },
    { breakage: unlinkBeforeRow, notices: /^the removal of the bytes begins before/ },
  ])('a build in which $breakage.fault', async ({ breakage, notices }) => {
    await using build = await breakBuild(breakage)
    const faults = findFaults(await traceCoffer([1, 100 * KiB], build.command))
    report('P1', `${breakage.fault}: ${faults.length} faults in one run, first "${faults[0]}"`)
    expect(faults).toContainEqual(expect.stringMatching(notices))
  })
})

function findFaults(traced: Traced): string[] {
  return [
    ...traced.uploads.flatMap((upload) => checkUpload(traced, upload)),
    ...traced.deletions.flatMap((deletion) => checkDeletion(traced, deletion)),
    ...checkFirstStart(traced),
  ]
}
