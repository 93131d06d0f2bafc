/** P14: bytes of deleted files can be found nowhere in the data folder, also after a crash. */

import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type Coffer, makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report, tries } from './length.ts'

const Id = z.object({ id: z.string() })
const KiB = 1024
const sizes = [100, 5 * KiB, 16 * KiB, 16 * KiB + 1, 300 * KiB, 2 * KiB * KiB]
const env = { COFFER_SWEEP_SECONDS: '1' }

describe('the bytes of deleted files', () => {
  it('are gone soon after the answer', async () => {
    await using coffer = await startCoffer({ env })
    const rounds = tries({ short: 50, long: 500 })
    const blobs = join(coffer.folder, 'blobs')
    const before = await bytesIn(blobs)
    const marked: Marked[] = []
    for (let round = 0; round < rounds; round += 1) marked.push(await store(coffer, round))
    expect(await findMarks(coffer.folder, marked), 'they are there before').toHaveLength(rounds)
    for (const { id } of marked) await remove(coffer, id)
    await expect.poll(() => findMarks(coffer.folder, marked), soon).toEqual([])
    await expect.poll(() => bytesIn(blobs), soon).toBeLessThan(before + 100 * KiB)
    report('P14', `${rounds} files deleted, 0 found again`)
  })

  it('are gone after a kill right behind the answer, too', async () => {
    await using folder = await makeFolder()
    const rounds = tries({ short: 8, long: 40 })
    const marked: Marked[] = []
    for (let round = 0; round < rounds; round += 1) {
      await using coffer = await startCoffer({ folder: folder.path, env })
      const file = await store(coffer, round)
      marked.push(file)
      await remove(coffer, file.id)
      await coffer.kill()
    }
    await using coffer = await startCoffer({ folder: folder.path, env })
    await expect.poll(() => findMarks(coffer.folder, marked), soon).toEqual([])
    report('P14', `${rounds} files deleted right before a kill, 0 found again`)
  })
})

const soon = { timeout: 30_000, interval: 300 }

interface Marked {
  readonly id: string
  /** Bytes that stand in this file's content and nowhere else. */
  readonly mark: string
}

async function store(coffer: Coffer, round: number): Promise<Marked> {
  const mark = randomBytes(16)
  const bytes = sizes[round % sizes.length] ?? 0
  const content = randomBytes(bytes)
  for (let at = 0; at + 16 <= bytes; at += 1000) mark.copy(content, at)
  const { id } = Id.parse(await (await coffer.upload(content)).json())
  return { id, mark: mark.toString('latin1') }
}

async function remove(coffer: Coffer, id: string): Promise<void> {
  expect((await coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })).status).toBe(200)
}

/** Which marks stand in a file of the folder: in databases, logs and drafts, too. */
async function findMarks(folder: string, marked: readonly Marked[]): Promise<string[]> {
  const found = new Set<string>()
  for (const path of await filesIn(folder)) {
    // A file that goes meanwhile holds nothing any more.
    const text = await readFile(path, 'latin1').catch(() => '')
    for (const { mark } of marked) if (text.includes(mark)) found.add(mark)
  }
  return [...found]
}

async function bytesIn(folder: string): Promise<number> {
  const contents = await Promise.all(
    (await filesIn(folder)).map((path) => readFile(path).catch(() => Buffer.alloc(0))),
  )
  return contents.reduce((sum, content) => sum + content.length, 0)
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('-ballast'))
    .map(({ parentPath, name }) => join(parentPath, name))
}
