/** P24: a volume that is wrong, empty, read-only or gone is told from lost files. */

import { mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCoffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
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
    expect(
      (await readdir(at('bytes'), { recursive: true })).filter((name) => /\w{32}/.test(name)),
    ).toEqual([])

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
