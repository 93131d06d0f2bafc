/** P20, P21: what works on a full disk, and that nothing is stored in part. */

import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, statfsSync, writeSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FilePage, Problem } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { findBlob } from '../../packages/cli/test/data-folder.ts'
import { type Coffer, makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { createBlobStore } from '../../packages/server/src/blobs/blob-store.ts'
import { openFilesDriver } from '../../packages/server/src/blobs/files.ts'
import { report, tries } from './length.ts'
import { mountTmpfs } from './mounts.ts'
import { machineHas } from './needs.ts'

const MiB = 1024 * 1024
const Id = z.object({ id: z.string() })

describe.runIf(machineHas({ mount: 'mount' }))('on a full disk', () => {
  it('uploads are whole or refused for good, and all else works on', async () => {
    await using disk = await mountTmpfs(64)
    await using coffer = await startCoffer({ folder: join(disk.path, 'data') })
    const { stored, refused } = await uploadUntilFull(coffer, 8 * MiB)
    expect(refused).toBeGreaterThan(0)
    await expectAll(coffer, stored)

    fill(disk.path)
    await expectWorksOn(coffer, stored)
    // That there is no room is no reason for what is missing.
    const [lost = ''] = stored.keys()
    await rm(findBlob(coffer.folder, lost))
    const answer = await coffer.fetch(`/v1/files/${lost}/content`)
    expect(Problem.parse(await answer.json()).error.code).toBe('file_content_unavailable')
    await rm(join(disk.path, 'filler'))
    for (const id of stored.keys()) await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
    // Room is looked at anew, and taken again by the databases, in a second.
    await expect.poll(() => status(coffer, 8 * MiB), { timeout: 10_000 }).toBe(200)
    report(
      'P20',
      `${stored.size} uploads stored, ${refused} refused with 507, 0 cut; works on while full`,
    )
  })

  it('of the rows alone, the same holds', async () => {
    await using disk = await mountTmpfs(40)
    await using coffer = await startCoffer({
      env: { COFFER_METADATA_URL: `sqlite:${join(disk.path, 'rows', 'coffer.db')}` },
    })
    const { stored } = await uploadSome(coffer, 30)
    fill(disk.path)
    await expectWorksOn(coffer, stored)
    await rm(join(disk.path, 'filler'))
    await expect.poll(() => status(coffer, 1000), { timeout: 10_000 }).toBe(200)
  })

  it('that was full when the server started, too, what frees room goes on', async () => {
    await using disk = await mountTmpfs(40)
    await using folder = await makeFolder()
    const options = {
      folder: folder.path,
      env: { COFFER_METADATA_URL: `sqlite:${join(disk.path, 'rows', 'coffer.db')}` },
    }
    const first = await startCoffer(options)
    const { stored } = await uploadSome(first, 30)
    fill(disk.path)
    await expectWorksOn(first, stored)
    await first.kill()
    await using again = await startCoffer(options)
    for (let round = 0; round < 5; round += 1) await expectWorksOn(again, stored)
    await rm(join(disk.path, 'filler'))
    await expect.poll(() => status(again, 1000), { timeout: 10_000 }).toBe(200)
  })

  it('of the bytes alone, at every size about the room that is left, none is cut', async () => {
    await using disk = await mountTmpfs(48)
    const folder = join(disk.path, 'blobs')
    await mkdir(folder)
    await using coffer = await startCoffer({ env: { COFFER_BLOBS_URL: `file:${folder}` } })
    const stored = new Map<string, string>()
    let refused = 0
    const rounds = tries({ short: 12, long: 100 })
    for (let round = 0; round < rounds; round += 1) {
      const { bavail, bsize } = statfsSync(disk.path)
      // From well inside the room that must stay free to well outside.
      const bytes = Math.max(1, bavail * bsize - 8 * MiB * (round % 3) + (round % 5) - 2)
      const content = randomBytes(bytes)
      const answer = await coffer.upload(content)
      if (answer.status === 200) {
        const { id } = Id.parse(await answer.json())
        await expectAll(coffer, new Map([[id, sha256(content)]]))
        await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })
        await expect
          .poll(() => statfsSync(disk.path).bavail, { timeout: 10_000 })
          .toBeGreaterThanOrEqual(bavail - 32)
      } else {
        expect(answer.status).toBe(507)
        refused += 1
      }
    }
    await expectAll(coffer, stored)
    expect(refused).toBeGreaterThan(0)
    report('P21', `${rounds} uploads about the room that was left, ${refused} refused, 0 cut`)
  })

  it('that others filled meanwhile, a write of which a part is taken is refused', async () => {
    await using disk = await mountTmpfs(4)
    // What a server keeps free keeps it from such writes as long as nobody else takes it.
    const driver = await openFilesDriver(join(disk.path, 'blobs'), { take: async () => {} })
    const blobs = createBlobStore(driver)
    const sizes = [-MiB, -4097, -4096, -1, 0, 1, 4096, 4097, MiB]
    let refused = 0
    for (const more of sizes) {
      const { bavail, bsize } = statfsSync(disk.path)
      const content = randomBytes(bavail * bsize + more)
      const id = randomBytes(16).toString('hex')
      const written = await blobs
        .write(id, inOnePiece(content), { maxBytes: content.length })
        .catch((error: unknown) => error as Error)
      if (written instanceof Error) {
        expect(written).toMatchObject({ code: 'full' })
        refused += 1
      } else {
        const read = blobs.read({ id, ...written }, { start: 0, end: content.length })
        expect(sha256(Buffer.concat(await Array.fromAsync(read)))).toBe(sha256(content))
        await blobs.delete(id)
      }
    }
    expect(refused).toBe(4)
    report('P21', `${sizes.length} blobs about the last byte of a disk, ${refused} refused, 0 cut`)
  })
})

/** Deletes, lists and reads, with no byte of room on the disk; then uploads are refused. */
async function expectWorksOn(coffer: Coffer, stored: Map<string, string>): Promise<void> {
  await expectAll(coffer, stored)
  const refusal = await coffer.upload(new Uint8Array(100_000))
  expect(refusal.status).toBe(507)
  expect(refusal.headers.get('x-should-retry')).toBe('false')
  expect(Problem.parse(await refusal.json()).error.message).toContain('no room')
  const [first = ''] = stored.keys()
  const answer = await coffer.fetch(`/v1/files/${first}`, { method: 'DELETE' })
  expect(answer.status).toBe(200)
  stored.delete(first)
  await expectAll(coffer, stored)
}

/** Two at a time: of many that begin together none may come to its end. */
async function uploadUntilFull(coffer: Coffer, bytes: number) {
  const stored = new Map<string, string>()
  let refused = 0
  async function uploadTen(): Promise<void> {
    for (let round = 0; round < 10; round += 1) {
      const content = randomBytes(bytes)
      const answer = await coffer.upload(content)
      if (answer.status === 200) stored.set(Id.parse(await answer.json()).id, sha256(content))
      else {
        expect(answer.status).toBe(507)
        refused += 1
      }
    }
  }
  await Promise.all([uploadTen(), uploadTen()])
  return { stored, refused }
}

async function uploadSome(coffer: Coffer, count: number) {
  const stored = new Map<string, string>()
  for (let round = 0; round < count; round += 1) {
    const content = randomBytes(round * 3000)
    const answer = await coffer.upload(content)
    stored.set(Id.parse(await answer.json()).id, sha256(content))
  }
  return { stored }
}

async function expectAll(coffer: Coffer, stored: ReadonlyMap<string, string>): Promise<void> {
  const page = FilePage.parse(await (await coffer.fetch('/v1/files')).json())
  const listed = page.data.map(({ id }) => id)
  for (const [id, sum] of stored) {
    expect(listed).toContain(id)
    const answer = await coffer.fetch(`/v1/files/${id}/content`)
    expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(sum)
  }
}

async function* inOnePiece(content: Uint8Array) {
  yield content
}

/** Takes the last byte of the disk. */
function fill(folder: string): void {
  const file = openSync(join(folder, 'filler'), 'w')
  try {
    for (const size of [MiB, 4096, 1]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(size))
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      }
    }
  } finally {
    closeSync(file)
  }
}

async function status(coffer: Coffer, bytes: number): Promise<number> {
  return (await coffer.upload(new Uint8Array(bytes))).status
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
