import { createHash, randomBytes, randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { FilePage } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { listDisk, listRows } from './data-folder.ts'
import { runFake } from './fake-io.ts'
import { type Coffer, makeFolder, startCoffer } from './start-coffer.ts'

const KiB = 1024
const rounds = 5
const writers = 8
const readers = 16

const Id = z.object({ id: z.string() })

/** What clients know from answers that they have read to the end. */
interface Acknowledged {
  /** SHA-256 by id. */
  readonly stored: Map<string, string>
  readonly deleted: Set<string>
}

// This shows that the order of writes is right, and nothing about syncs: the kernel outlives the
// process and keeps what was written. A store without any sync passes, and loses at a power cut.
describe('kill -9 under load', () => {
  it('loses no acknowledged file and leaves nothing half there', async () => {
    await using folder = await makeFolder()
    const known: Acknowledged = { stored: new Map(), deleted: new Set() }
    const starts: number[] = []
    let interrupted = 0
    let drafts = 0

    await using running = new AsyncDisposableStack()
    let coffer = running.use(await startCoffer({ folder: folder.path }))
    for (let round = 1; round <= rounds; round += 1) {
      const enough = known.stored.size + 50
      const load = Array.from({ length: writers }, () => write(coffer, known, enough))
      await Promise.race(load.flatMap(({ enough, ended }) => [enough, ended]))
      await setTimeout(randomInt(100))
      await coffer.kill()
      const ends = await Promise.all(load.map(({ ended }) => ended))
      interrupted += ends.filter((end) => end === 'interrupted').length
      drafts += (await listDisk(folder.path)).drafts.length
      // As the crash has left it, and below beside the server that cleans up.
      await expectNoFaults(folder.path)

      coffer = running.use(await startCoffer({ folder: folder.path }))
      starts.push(coffer.startMilliseconds)
      await expectNoFaults(folder.path)
      await expectWhole(coffer, known)
    }

    console.log(
      `kill -9: ${known.stored.size} files acknowledged and ${known.deleted.size} deleted in ` +
        `${rounds} rounds; ${interrupted} requests cut, ${drafts} drafts left and cleared; ` +
        `0 lost; ready again after ${starts.join(', ')} ms`,
    )
    expect(Math.max(...starts)).toBeLessThan(5000)
    expect(interrupted).toBeGreaterThan(0)
  })
})

/** Uploads, and at times deletes, until the server is gone. */
function write(coffer: Coffer, known: Acknowledged, least: number) {
  const enough = Promise.withResolvers<void>()

  async function upload(): Promise<string> {
    const content = randomBytes(randomInt(300 * KiB))
    const answer = await coffer.upload(content)
    const { id } = Id.parse(await answer.json())
    known.stored.set(id, sha256(content))
    return id
  }

  async function remove(id: string): Promise<void> {
    const sum = known.stored.get(id) ?? ''
    // Until the answer is here nobody can say which it is.
    known.stored.delete(id)
    const answer = await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    await answer.json()
    if (answer.status === 200) known.deleted.add(id)
    else known.stored.set(id, sum)
  }

  async function work(): Promise<'interrupted'> {
    try {
      for (;;) {
        const id = await upload()
        if (randomInt(3) === 0) await remove(id)
        if (known.stored.size >= least) enough.resolve()
      }
    } catch (error) {
      // What `fetch` says when the connection breaks; anything else is a fault.
      if (!(error instanceof TypeError)) throw error
      return 'interrupted'
    }
  }

  return { enough: enough.promise, ended: work() }
}

async function expectWhole(coffer: Coffer, known: Acknowledged): Promise<void> {
  const afterStart = await listDisk(coffer.folder)
  expect(afterStart.drafts).toEqual([])

  const listed = FilePage.parse(await (await coffer.fetch('/v1/files')).json())
  expect(listed.has_more).toBe(false)
  const files = new Map(listed.data.map((file) => [file.id, file]))
  const missing = [...known.stored.keys()].filter((id) => !files.has(id))
  expect(missing, 'acknowledged, and not listed').toEqual([])
  const risen = [...known.deleted].filter((id) => files.has(id))
  expect(risen, 'deleted, and listed').toEqual([])

  const queue = [...files.values()]
  await Promise.all(
    Array.from({ length: readers }, async () => {
      for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
        const answer = await coffer.fetch(`/v1/files/${file.id}/content`)
        expect(answer.status, file.id).toBe(200)
        const content = Buffer.from(await answer.arrayBuffer())
        expect(content.length, file.id).toBe(file.bytes)
        // An answer that was never read has a file all the same: then the server's own sum counts.
        const sum = known.stored.get(file.id) ?? answer.headers.get('etag')?.slice(1, -1)
        expect(sha256(content), file.id).toBe(sum)
      }
    }),
  )

  // The first sweep runs at the start.
  await expect.poll(() => listRows(coffer.folder).loose, { timeout: 10_000 }).toEqual([])
  const { held } = listRows(coffer.folder)
  expect((await listDisk(coffer.folder)).blobs).toEqual(held)
  expect(held).toHaveLength(files.size)
}

async function expectNoFaults(folder: string): Promise<void> {
  const { code, stdout, stderr } = await runFake(['fsck', '--data', folder])
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('; 0 orphans, 0 B, of which 0 quarantined; 0 faults')
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
