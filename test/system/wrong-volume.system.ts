/** P24: a volume that is wrong, empty, read-only or gone is told from lost files. */

import { mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { FilePage } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { type Coffer, runCoffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report } from './length.ts'
import { command, mountTmpfs } from './mounts.ts'
import { machineHas } from './needs.ts'

describe.runIf(machineHas({ mount: 'mount' }))('a volume of bytes', () => {
  it('that is not mounted, or another one, keeps the server from starting', async () => {
    await using place = await mountTmpfs(100)
    const at = (name: string) => join(place.path, name)
    const env = {
      COFFER_METADATA_URL: `sqlite:${at('rows/coffer.db')}`,
      COFFER_BLOBS_URL: `file:${at('bytes')}`,
    }
    await mkdir(at('bytes'))
    command('mount', '-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', at('bytes'))
    const first = await startCoffer({ env })
    expect((await first.upload(Buffer.alloc(100_000, 'x'))).status).toBe(200)
    await first.stop()
    command('umount', at('bytes'))

    const unmounted = await refusal(env)
    expect(unmounted).toContain('Is the volume with the bytes mounted?')
    // A folder that will be covered again must not fill up meanwhile.
    expect(await blobsIn(at('bytes'))).toEqual([])

    const other = await startCoffer()
    await other.upload(Buffer.alloc(100_000))
    await other.stop()
    const wrong = await refusal({ ...env, COFFER_BLOBS_URL: `file:${join(other.folder, 'blobs')}` })
    expect(wrong).toMatch(
      /The rows belong to the store store_\w+, and the bytes to the store store_\w+/,
    )

    await rename(at('rows'), at('rows-before'))
    const newRows = await refusal({
      ...env,
      COFFER_BLOBS_URL: `file:${join(other.folder, 'blobs')}`,
    })
    expect(newRows).toContain('the database is new')
    report('P24', 'refused to start with an unmounted, another and a new volume')
  })

  it('that is taken away leaves folders of the same names below, which take nothing', async () => {
    await using place = await mountTmpfs(100)
    const bytes = join(place.path, 'bytes')
    const env = { COFFER_BLOBS_URL: `file:${bytes}` }
    await using below = await startCoffer({ env })
    await below.stop()
    command('mount', '-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', bytes)
    await using coffer = await startCoffer({ env })
    expect((await coffer.upload(Buffer.alloc(100_000))).status).toBe(200)
    command('umount', '-l', bytes)
    for (const size of [100_000, 10]) {
      expect((await coffer.upload(Buffer.alloc(size))).status).toBe(503)
    }
    expect((await coffer.fetch('/readyz')).status).toBe(503)
    expect(await blobsIn(bytes)).toEqual([])
  })

  it('that is exchanged for a copy keeps the log of that copy', async () => {
    await using place = await mountTmpfs(100)
    const at = (name: string) => join(place.path, name)
    for (const name of ['data', 'copy']) {
      await mkdir(at(name))
      command('mount', '-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', at(name))
    }
    const first = await startCoffer({ folder: at('data') })
    // The sweep after the start folds the log.
    await expect.poll(() => sweepsOf(first), { timeout: 10_000 }).toBe(1)
    for (const size of [10, 100_000]) await first.upload(Buffer.alloc(size))
    // As a snapshot of a running server has it: rows stand in the logs only.
    command('cp', '-a', `${at('data')}/.`, at('copy'))
    const logs = ['coffer.db-wal', 'blobs/small-blobs.db-wal']
    const before = await Promise.all(logs.map((name) => readFile(join(at('copy'), name))))
    expect(before.every((log) => log.length > 0)).toBe(true)

    command('mount', '--bind', at('copy'), at('data'))
    expect((await first.upload(Buffer.alloc(10))).status).toBe(503)
    await first.stop()
    const after = await Promise.all(logs.map((name) => readFile(join(at('data'), name))))
    expect(after.map((log) => log.length)).toEqual(before.map((log) => log.length))
    await using again = await startCoffer({ folder: at('data') })
    const page = FilePage.parse(await (await again.fetch('/v1/files')).json())
    expect(page.data).toHaveLength(2)
    await again.stop()
    command('umount', '-l', at('data'))
    command('umount', '-l', at('data'))
    command('umount', '-l', at('copy'))
  })

  it('that is taken away under a running server makes it unready and takes no upload', async () => {
    await using place = await mountTmpfs(100)
    const bytes = join(place.path, 'bytes')
    await mkdir(bytes)
    command('mount', '-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', bytes)
    await using coffer = await startCoffer({ env: { COFFER_BLOBS_URL: `file:${bytes}` } })
    expect((await coffer.fetch('/readyz')).status).toBe(200)
    command('umount', '-l', bytes)
    expect((await coffer.fetch('/readyz')).status).toBe(503)
    expect((await coffer.upload(Buffer.alloc(100_000))).status).toBe(503)
    expect((await coffer.upload(Buffer.alloc(10))).status).toBe(503)
    expect(await readdir(bytes)).toEqual([])
    report('P24', 'unready, 0 uploads taken and nothing written to the mount point')
  })
})

/** What a server says that does not start. */
async function refusal(env: Record<string, string>): Promise<string> {
  await using place = await mountTmpfs(10)
  await using program = runCoffer(
    ['serve', '--listen', '127.0.0.1:0', '--data', join(place.path, 'data')],
    { COFFER_API_KEY: 'sk-key', ...env },
  )
  const { code } = await program.ended
  expect(code).toBe(1)
  return program.stderr
}

async function blobsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => /\w{32}/.test(name))
}

async function sweepsOf({ url }: Coffer): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^coffer_sweeps_total (\d+)$/m.exec(text)?.[1])
}
