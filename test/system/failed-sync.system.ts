import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { listDisk, listRows } from '../../packages/cli/test/data-folder.ts'
import { inspect, nothingWrong } from '../../packages/cli/test/inspection.ts'
import {
  type Acknowledged,
  nothingAcknowledged,
  sha256,
  someBytes,
} from '../../packages/cli/test/load.ts'
import {
  type Coffer,
  makeFolder,
  type StartOptions,
  startCoffer,
} from '../../packages/cli/test/start-coffer.ts'
import { ignoredFailure } from './breakages.ts'
import { breakBuild } from './broken-build.ts'
import { cutPower, type FileSystem, fileSystemCommands, makeFileSystem } from './file-system.ts'
import { freeze } from './frozen-process.ts'
import { attach, findThreads, oneHelper } from './injected-calls.ts'
import { report, tries } from './length.ts'
import { machineHas } from './needs.ts'
import { readSystemCalls, type SystemCall, traceOptions } from './system-calls.ts'

const KiB = 1024

const uploads = tries({ short: 20, long: 100 })

const possible = machineHas({ ...fileSystemCommands, strace: 'strace' })

// After a sync that failed Linux may say of the next that it succeeded, although the bytes are
// gone. So a sync is not tried again, and nothing counts on it.
describe.skipIf(!possible)('a sync that fails', () => {
  it.each([
    { what: 'of a file with bytes', call: 'fdatasync' },
    { what: 'of a folder', call: 'fsync' },
  ] as const)('$what fails its upload alone', async ({ what, call }) => {
    await using fileSystem = await makeFileSystem('ext4')
    const { coffer, known, statuses, reliance } = await failSyncs(call, fileSystem)
    await using _running = coffer
    const failed = statuses.filter((status) => status >= 500).length
    expect(failed).toBeGreaterThan(uploads / 5)
    expect(statuses.filter((status) => status === 200)).toHaveLength(uploads - failed)
    expect(reliance).toEqual([])
    await using restarted = await restartAfterCut(coffer, fileSystem)
    expect((await inspect(restarted, known)).findings).toEqual(nothingWrong)
    report('P8', `sync ${what}: failed ${failed} of ${uploads} uploads, and nothing else`)
  })

  it(`is noticed in a build in which ${ignoredFailure.fault}`, async () => {
    await using build = await breakBuild(ignoredFailure)
    await using fileSystem = await makeFileSystem('ext4')
    const failing = await failSyncs('fdatasync', fileSystem, build.command)
    await using _running = failing.coffer
    const [first] = failing.reliance
    report('P1', `${ignoredFailure.fault}: ${failing.reliance.length} times, first a ${first}`)
    expect(first).toMatch(/^link of /)
  })

  it.each([
    { what: 'the log of the rows', thread: 'rows' },
    { what: 'the log of the small database', thread: 'small' },
  ] as const)('of $what fails those who wait for it, and loses nothing', async (of) => {
    const rounds = tries({ short: 6, long: 50 })
    await using fileSystem = await makeFileSystem('ext4')
    const known = nothingAcknowledged()
    const statuses: number[] = []
    await using running = new AsyncDisposableStack()
    let coffer = running.use(await start(fileSystem))
    for (let round = 0; round < rounds; round += 1) {
      const before = await uploadAtOnce(coffer, known)
      expect(new Set(before)).toEqual(new Set([200]))

      const threads = await findThreads(coffer.pid)
      // All who come at once may share one sync, so the first try is at the first.
      const when = `${round === 0 ? 1 : randomInt(1, 4)}`
      await using strace = await attach(threads[of.thread], [
        ...['-e', 'trace=fsync'],
        ...failure('fsync', when),
      ])
      const ids = [...known.stored.keys()].slice(0, 4)
      const during = await Promise.all([
        uploadAtOnce(coffer, known),
        ...ids.map((id) => remove(coffer, id, known)),
      ])
      statuses.push(...during.flat())
      await expectOnlyWhatIsKnown(coffer, known)
      await strace[Symbol.asyncDispose]()
      expect(new Set(await uploadAtOnce(coffer, known))).toEqual(new Set([200]))

      coffer = running.use(await restartAfterCut(coffer, fileSystem))
      expect((await inspect(coffer, known)).findings).toEqual(nothingWrong)
    }

    const failed = statuses.filter((status) => status >= 500).length
    expect(failed).toBeGreaterThan(0)
    expect(statuses.filter((status) => status === 200)).toHaveLength(statuses.length - failed)
    report(
      'P8',
      `sync of ${of.what}: in ${rounds} rounds failed ${failed} of ${statuses.length} requests; ` +
        `after a power cut none of ${known.stored.size} files and ${known.deleted.size} ` +
        'deletions that were acknowledged lost',
    )
  })
})

/** Uploads to a new server, one by one, of which each third or so meets a sync that fails. */
async function failSyncs(
  call: 'fsync' | 'fdatasync',
  fileSystem: FileSystem,
  command?: StartOptions['command'],
) {
  await using traces = await makeFolder()
  await using failed = new AsyncDisposableStack()
  const coffer = failed.use(await start(fileSystem, command))
  const trace = join(traces.path, 'trace')
  const known = nothingAcknowledged()
  expect(await upload(coffer, KiB, known)).toBe(200)

  const { files } = await findThreads(coffer.pid)
  await using strace = await attach(files, [...traceOptions, '-o', trace, ...failure(call, '1+3')])
  const statuses: number[] = []
  for (let count = 0; count < uploads; count += 1) {
    statuses.push(await upload(coffer, 100 * KiB, known))
    await expectOnlyWhatIsKnown(coffer, known)
    const { held } = listRows(coffer.folder)
    expect(await listDisk(coffer.folder)).toEqual({ blobs: held, drafts: [] })
  }
  await strace[Symbol.asyncDispose]()
  failed.move()
  return { coffer, known, statuses, reliance: findReliance(await readSystemCalls(trace)) }
}

function start({ path }: FileSystem, command?: StartOptions['command']): Promise<Coffer> {
  return startCoffer({ folder: join(path, 'data'), env: oneHelper, ...(command && { command }) })
}

/** @param when as `2` for the second call, or `1+3` for the first and each third after it. */
function failure(call: string, when: string): string[] {
  return ['-e', `inject=${call}:error=EIO:when=${when}`]
}

const Id = z.object({ id: z.string() })

/** @returns the status. */
async function upload(coffer: Coffer, bytes: number, known: Acknowledged): Promise<number> {
  const content = someBytes(bytes)
  const answer = await coffer.upload(content)
  const body: unknown = await answer.json()
  if (answer.status === 200) known.stored.set(Id.parse(body).id, sha256(content))
  return answer.status
}

function uploadAtOnce(coffer: Coffer, known: Acknowledged): Promise<number[]> {
  const sizes = [0, 1, KiB, 2 * KiB, 16 * KiB, 17 * KiB, 100 * KiB, 300 * KiB]
  return Promise.all(sizes.map((bytes) => upload(coffer, bytes, known)))
}

async function remove(coffer: Coffer, id: string, known: Acknowledged): Promise<number> {
  const answer = await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
  await answer.arrayBuffer()
  if (answer.status === 200) {
    known.stored.delete(id)
    known.deleted.add(id)
  }
  return answer.status
}

/** What was refused is not there, and what was to be deleted and was refused still is. */
async function expectOnlyWhatIsKnown(coffer: Coffer, known: Acknowledged): Promise<void> {
  const { findings, listed } = await inspect(coffer, known)
  expect(findings).toEqual(nothingWrong)
  expect(listed.toSorted()).toEqual([...known.stored.keys()].toSorted())
}

async function restartAfterCut(coffer: Coffer, fileSystem: FileSystem): Promise<Coffer> {
  await freeze(coffer.pid)
  await cutPower([fileSystem])
  await coffer.kill()
  await fileSystem.remount()
  return start(fileSystem)
}

/** Drafts whose sync failed, and that were synced again or linked all the same. */
function findReliance(calls: readonly SystemCall[]): string[] {
  const failed = new Set<string | undefined>()
  return calls.flatMap(({ name, target, strings, result }) => {
    if (name === 'fdatasync' && result === -1) failed.add(target)
    else if (name === 'fdatasync' && failed.has(target)) return [`sync of ${target}`]
    else if (name === 'link' && failed.has(strings[0])) return [`link of ${strings[0]}`]
    return []
  })
}
