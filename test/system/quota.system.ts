/** P30, P32: the quota is reached and never passed, whoever comes together with whom. */

import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type Coffer, makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report, tries } from './length.ts'

const Id = z.object({ id: z.string() })
const Sums = z.object({ used: z.int(), stored: z.int(), files: z.int() })
const quota = 1_000_000
const env = { COFFER_ORGANIZATION_QUOTA_BYTES: String(quota), COFFER_SWEEP_SECONDS: '1' }

describe('the quota', () => {
  it('lets in as many of 64 uploads as fit, and never a byte more', async () => {
    await using coffer = await startCoffer({ env })
    const rounds = tries({ short: 15, long: 100 })
    using watch = watchUsage(coffer.folder)
    for (let round = 0; round < rounds; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 64 }, () => coffer.upload(new Uint8Array(quota / 10))),
      )
      const ids: string[] = []
      for (const answer of answers) {
        if (answer.status === 200) ids.push(Id.parse(await answer.json()).id)
        else expect(answer.status).toBe(400)
      }
      expect(ids).toHaveLength(10)
      expect(sums(coffer.folder)).toEqual({ used: quota, stored: quota, files: 10 })
      await Promise.all(ids.map((id) => coffer.fetch(`/v1/files/${id}`, { method: 'DELETE' })))
      expect(sums(coffer.folder)).toEqual({ used: 0, stored: 0, files: 0 })
    }
    expect(watch.most()).toBeLessThanOrEqual(quota)
    report(
      'P30',
      `${rounds} rounds of 64 uploads, 10 of each stored; at most ${watch.most()} of ${quota} bytes in ${watch.looks()} looks`,
    )
  })

  it('is exact after uploads that were cut, deletions and kills', async () => {
    await using folder = await makeFolder()
    const rounds = tries({ short: 4, long: 40 })
    await (await startCoffer({ folder: folder.path, env })).stop()
    using watch = watchUsage(folder.path)
    for (let round = 0; round < rounds; round += 1) {
      await using coffer = await startCoffer({ folder: folder.path, env })
      const work = Promise.allSettled(Array.from({ length: 16 }, () => mixed(coffer)))
      await Promise.race([
        work,
        new Promise((resolve) => setTimeout(resolve, 300 + randomInt(300))),
      ])
      await coffer.kill()
      await work
    }
    await using coffer = await startCoffer({ folder: folder.path, env })
    const { used, stored } = sums(coffer.folder)
    expect(used).toBe(stored)
    expect(watch.most()).toBeLessThanOrEqual(quota)
    report(
      'P30',
      `${rounds} kills amid uploads, cuts and deletions: ${used} bytes used, ${stored} stored`,
    )
  })
})

describe('P32: a quota that cannot be asked', () => {
  it('lets nothing in, and forgets nothing', async () => {
    await using coffer = await startCoffer({ env })
    const content = () => new Uint8Array(quota / 10)
    expect((await coffer.upload(content())).status).toBe(200)
    const before = sums(coffer.folder)
    {
      // For as long as another holds it, the writer waits, and then gives up.
      using database = new DatabaseSync(join(coffer.folder, 'coffer.db'))
      database.exec('begin immediate')
      const begun = performance.now()
      const answers = await Promise.all([1, 2, 3].map(() => coffer.upload(content())))
      const seconds = (performance.now() - begun) / 1000
      const listed = await coffer.fetch('/v1/files')
      expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])
      expect(answers.map(({ headers }) => headers.get('retry-after'))).toEqual(['2', '2', '2'])
      expect(listed.status).toBe(200)
      report('P32', `3 uploads refused within ${seconds.toFixed(1)} s, while lists were served`)
    }
    expect(sums(coffer.folder)).toEqual(before)
    expect((await coffer.upload(content())).status).toBe(200)
    expect(sums(coffer.folder)).toEqual({ used: quota / 5, stored: quota / 5, files: 2 })
  })
})

/** Uploads of all sizes, some cut short, some deleted again, until the server is gone. */
async function mixed(coffer: Coffer): Promise<never> {
  for (;;) {
    const bytes = randomInt(quota / 5)
    if (randomInt(4) === 0) {
      const cut = new AbortController()
      const upload = coffer.fetch('/v1/files', {
        method: 'POST',
        headers: { 'content-type': 'multipart/form-data; boundary=cut' },
        body: cutBody(bytes, cut),
        duplex: 'half',
        signal: cut.signal,
      } as RequestInit)
      await upload.catch((error: unknown) => {
        if (!cut.signal.aborted) throw error
      })
    } else {
      const answer = await coffer.upload(new Uint8Array(bytes))
      const body: unknown = await answer.json()
      const { data } = Id.safeParse(body)
      if (data !== undefined && randomInt(3) > 0) {
        await coffer.fetch(`/v1/files/${data.id}`, { method: 'DELETE' })
      }
    }
  }
}

function cutBody(bytes: number, cut: AbortController): ReadableStream<Uint8Array> {
  const head = '--cut\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(head))
      controller.enqueue(new Uint8Array(bytes))
    },
    pull() {
      cut.abort()
    },
  })
}

/** Looks at what is used as often as can be, beside the server. */
function watchUsage(folder: string) {
  let most = 0
  let looks = 0
  const timer = setInterval(() => {
    looks += 1
    most = Math.max(most, sums(folder).stored)
  }, 50)
  return {
    most: () => most,
    looks: () => looks,
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

function sums(folder: string): z.infer<typeof Sums> {
  using database = new DatabaseSync(join(folder, 'coffer.db'), { readOnly: true, timeout: 5000 })
  return Sums.parse(
    database
      .prepare(
        `select (select sum(used_bytes) from organizations) as used,
          (select coalesce(sum(bytes), 0) from files) as stored,
          (select count(*) from files) as files`,
      )
      .get(),
  )
}
