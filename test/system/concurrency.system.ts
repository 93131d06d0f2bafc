import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { File, FilePage } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { ask, beginDownload, beginUpload, formOf, upload } from './clients.ts'
import { inFlight, upTo } from './in-flight.ts'
import { report, tries } from './length.ts'
import { atRest, holdingsOf, listAll, settled } from './process-state.ts'

const MiB = 1024 * 1024
const KiB = 1024
const quiet = { COFFER_LOG_LEVEL: 'silent' }

function sumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('P10: an upload that is interrupted', () => {
  const aborts = tries({ short: 200, long: 2000 })

  it('leaves nothing, wherever and however its client leaves', async () => {
    await using coffer = await startCoffer({ env: quiet })
    const kept = await upload(coffer, randomBytes(100 * KiB))
    const { id } = File.parse(JSON.parse(kept.body.toString()))
    const { descriptors } = await settled(coffer, { descriptors: 0 }, 2)
    const baseline = atRest(1, 100 * KiB, descriptors)
    // One that becomes a row of the database, one that is a file of its own.
    const bodies = [formOf(randomBytes(9 * KiB)), formOf(randomBytes(2 * MiB))]
    const points = (body: Uint8Array) => [
      0,
      1,
      Math.floor(body.length / 100),
      Math.floor(body.length / 2),
      body.length - 1,
      // Behind the last byte of the file, before its boundary.
      body.length - '\r\n--cut-here--\r\n'.length,
    ]
    await inFlight(upTo(aborts), 8, async (at) => {
      const body = bodies[at % 2] ?? new Uint8Array()
      const socket = await beginUpload(coffer, body, points(body)[Math.floor(at / 4) % 6] ?? 0)
      const closed = once(socket, 'close')
      if (at % 4 < 2) socket.resetAndDestroy()
      else socket.end()
      await closed
    })
    const begun = performance.now()
    const found = await settled(coffer, { descriptors })
    const slowest = performance.now() - begun
    report(
      'P10',
      `${aborts} aborts at 6 points, by FIN and RST: all as before ${Math.round(slowest)} ms after the last`,
    )
    expect({ ...found, descriptors: Math.min(found.descriptors, descriptors) }).toEqual(baseline)
    expect(found.descriptors).toBeLessThanOrEqual(descriptors)
    expect(await listAll(coffer)).toEqual([id])
  })
})

describe('P11: a file that is being uploaded', () => {
  const reads = tries({ short: 1000, long: 10_000 })

  it('is never seen before it is whole', async () => {
    await using coffer = await startCoffer({ env: quiet })
    const writing = new AbortController()
    const wrong: string[] = []
    let written = 0

    async function write(lane: number): Promise<void> {
      for (let at = 0; !writing.signal.aborted; at += 1) {
        // The name tells what the content must be.
        const content = randomBytes([5, 40 * KiB, 700 * KiB][(at + lane) % 3] ?? 0)
        const body = formOf(content, sumOf(content))
        const half = Math.floor(body.length / 2)
        const socket = await beginUpload(coffer, body, half)
        const answered = once(socket, 'data')
        socket.write(body.subarray(half))
        await answered
        socket.destroy()
        written += 1
      }
    }

    const writers = Promise.all([0, 1, 2, 3].map(write))
    let done = 0
    try {
      await inFlight(upTo(reads), 4, async () => {
        for (;;) {
          const list = await ask(coffer, '/v1/files?limit=3')
          const { data } = FilePage.parse(JSON.parse(list.body.toString()))
          const newest = data[done % 3] ?? data[0]
          if (newest === undefined) continue
          const { status, body } = await ask(coffer, `/v1/files/${newest.id}/content`)
          if (status !== 200 || sumOf(body) !== newest.filename) {
            wrong.push(`${newest.id}: ${status}, ${body.length} of ${newest.bytes} bytes`)
          }
          done += 1
          return
        }
      })
    } finally {
      writing.abort()
    }
    await writers
    report(
      'P11',
      `${done} reads of the newest files while ${written} were written: ${wrong.length} not whole`,
    )
    expect(wrong).toEqual([])
    expect(written).toBeGreaterThan(20)
  })
})

describe('P13: a file that is deleted while it is read', () => {
  const rounds = tries({ short: 24, long: 200 })
  const bytes = tries({ short: 16, long: 64 }) * MiB

  it('comes whole and right all the same', async () => {
    await using coffer = await startCoffer({ env: quiet })
    const content = randomBytes(bytes)
    const sum = sumOf(content)
    const { descriptors } = await settled(coffer, { descriptors: 0 }, 2)
    let right = 0
    await inFlight(upTo(rounds), 3, async (round) => {
      const stored = await upload(coffer, content)
      const { id } = File.parse(JSON.parse(stored.body.toString()))
      const socket = await beginDownload(coffer, id)
      // The head tells that the file is open; the rest waits for its reader.
      const received: Buffer[] = [await firstOf(socket)]
      const enough = (bytes * ((round * 37) % 100)) / 100
      while (socket.bytesRead < enough) received.push(await firstOf(socket))
      const deleted = await ask(coffer, `/v1/files/${id}`, { method: 'DELETE' })
      expect(deleted.status).toBe(200)
      socket.on('data', (piece: Buffer) => received.push(piece))
      const closed = once(socket, 'close')
      socket.resume()
      await closed
      const whole = Buffer.concat(received)
      const got = whole.subarray(whole.indexOf('\r\n\r\n') + 4)
      if (got.length === bytes && sumOf(got) === sum) right += 1
      // What is cut must at least be what it was.
      else expect(got.equals(content.subarray(0, got.length))).toBe(true)
    })
    report(
      'P13',
      `${rounds} downloads of ${bytes / MiB} MiB with a DELETE in between: ${right} whole and right`,
    )
    expect(right).toBe(rounds)
    expect(await settled(coffer, { descriptors })).toMatchObject({
      files: 0,
      usedBytes: 0,
      looseBlobs: 0,
    })
  })
})

/** The next piece, and no more of it. */
async function firstOf(socket: Socket): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const cut = () => reject(new Error('The connection was closed.'))
  socket.once('close', cut)
  socket.once('data', (piece: Buffer) => {
    socket.pause()
    socket.off('close', cut)
    resolve(piece)
  })
  socket.resume()
  return promise
}

describe('P34: one file deleted twice', () => {
  const files = tries({ short: 200, long: 1000 })

  it('is deleted once, and credited once', async () => {
    await using coffer = await startCoffer({ env: quiet })
    const outcomes = new Map<string, number>()
    await inFlight(upTo(files), 8, async () => {
      // Two of the same content, of which one stays until the end.
      const content = randomBytes(20 * KiB)
      const [one, other] = await Promise.all([upload(coffer, content), upload(coffer, content)])
      const { id } = File.parse(JSON.parse(one.body.toString()))
      const kept = File.parse(JSON.parse(other.body.toString()))
      const answers = await Promise.all(
        [0, 1].map(() => ask(coffer, `/v1/files/${id}`, { method: 'DELETE' })),
      )
      const seen = answers
        .map(({ status }) => status)
        .sort()
        .join()
      outcomes.set(seen, (outcomes.get(seen) ?? 0) + 1)
      const read = await ask(coffer, `/v1/files/${kept.id}/content`)
      expect(read.body.equals(content)).toBe(true)
    })
    report(
      'P34',
      `${files} files deleted twice at once: ${[...outcomes].map(([seen, count]) => `${count}×(${seen})`)}`,
    )
    expect([...outcomes.keys()]).toEqual(['200,404'])
    const found = await settled(coffer, { descriptors: Number.POSITIVE_INFINITY })
    expect(found).toEqual(atRest(files, files * 20 * KiB, found.descriptors))
  })
})

describe('P36: a walk from page to page', () => {
  const walks = tries({ short: 12, long: 200 })
  const files = tries({ short: 500, long: 5000 })

  it('meets each file that stays exactly once, while others come and go', async () => {
    await using coffer = await startCoffer({ env: quiet })
    const stays: string[] = []
    const create = async () => {
      const { body } = await upload(coffer, Buffer.from('x'))
      return File.parse(JSON.parse(body.toString())).id
    }
    const goes: string[] = []
    await inFlight(upTo(files), 16, async (at) => {
      const id = await create()
      if (at % 3 === 0) goes.push(id)
      else stays.push(id)
    })
    const walking = new AbortController()
    let changes = 0
    const changing = Promise.all(
      [0, 1].map(async () => {
        while (!walking.signal.aborted) {
          goes.push(await create())
          // From the middle, so that it is at times the cursor of a walk.
          const [id = ''] = goes.splice(Math.floor(goes.length / 2), 1)
          await ask(coffer, `/v1/files/${id}`, { method: 'DELETE' })
          changes += 2
        }
      }),
    )
    const wrong: string[] = []
    try {
      await inFlight(upTo(walks), 3, async (walk) => {
        const met = new Map<string, number>()
        const order = walk % 2 === 0 ? 'asc' : 'desc'
        for (let after = ''; ; ) {
          const answer = await ask(coffer, `/v1/files?limit=7&order=${order}&after=${after}`)
          const page = FilePage.parse(JSON.parse(answer.body.toString()))
          for (const { id } of page.data) met.set(id, (met.get(id) ?? 0) + 1)
          if (!page.has_more || page.last_id === null) break
          after = page.last_id
        }
        const missed = stays.filter((id) => !met.has(id))
        const repeated = [...met].filter(([, times]) => times > 1)
        if (missed.length > 0 || repeated.length > 0) {
          wrong.push(`walk ${walk}: ${missed.length} missed, ${repeated.length} repeated`)
        }
      })
    } finally {
      walking.abort()
    }
    await changing
    report(
      'P36',
      `${walks} walks over ${files} files, 7 at a time, with ${changes} changes meanwhile: ${wrong.length} wrong`,
    )
    expect(wrong).toEqual([])
    expect(changes).toBeGreaterThan(walks)
  })
})

describe('P29: a server that is asked to stop under load', () => {
  const stops = tries({ short: 4, long: 50 })

  it('finishes or refuses, leaves with 0, and has nothing half afterwards', async () => {
    await using kept = await makeFolder()
    const content = randomBytes(2 * MiB)
    const body = formOf(content)
    let acknowledged = 0
    const begun = performance.now()
    for (const _ of upTo(stops)) {
      await using coffer = await startCoffer({ env: quiet, folder: kept.path })
      const loading = new AbortController()
      const done: { id: string; sum: string }[] = []
      const slow = await Promise.all([...upTo(4)].map(() => beginUpload(coffer, body, MiB)))
      const load = Promise.all(
        [...upTo(8)].map(async (lane) => {
          while (!loading.signal.aborted) {
            const content = randomBytes(lane % 2 === 0 ? 3000 : 300 * KiB)
            // Refused or cut is what becomes of those that come too late.
            const answer = await upload(coffer, content).catch(() => undefined)
            if (answer?.status !== 200) continue
            done.push({
              id: File.parse(JSON.parse(answer.body.toString())).id,
              sum: sumOf(content),
            })
          }
        }),
      )
      while (done.length < 20) await delay(5)
      const stopped = coffer.stop()
      // What has begun before may take its time.
      await delay(200)
      expect(slow.map(({ destroyed }) => destroyed)).not.toContain(true)
      for (const socket of slow) {
        const answer = firstOf(socket)
        socket.write(body.subarray(MiB))
        const text = (await answer).toString()
        expect(text).toMatch(/^HTTP\/1\.1 200 /)
        const { id } = File.parse(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))))
        done.push({ id, sum: sumOf(content) })
      }
      const ending = await stopped
      loading.abort()
      await load
      expect(ending).toEqual({ code: 0, signal: null })
      await using again = await startCoffer({ env: quiet, folder: kept.path })
      for (const { id, sum } of done) {
        const { body } = await ask(again, `/v1/files/${id}/content`)
        expect(sumOf(body)).toBe(sum)
      }
      acknowledged += done.length
      const found = await holdingsOf(again)
      expect(found).toEqual(atRest(found.files, found.fileBytes, found.descriptors))
      await again.stop()
    }
    const seconds = (performance.now() - begun) / 1000
    report(
      'P29',
      `${stops} stops under load in ${seconds.toFixed(1)} s: all with 0, ${acknowledged} acknowledged files all there`,
    )
  })

  it('stops at once when it is asked again', async () => {
    await using coffer = await startCoffer({ env: { ...quiet, COFFER_STOP_SECONDS: '600' } })
    const body = formOf(randomBytes(2 * MiB))
    const sockets = await Promise.all([...upTo(8)].map(() => beginUpload(coffer, body, MiB)))
    // What the server has not come to yet is refused.
    const drafts = async () => (await holdingsOf(coffer)).drafts
    await expect.poll(drafts, { timeout: 10_000 }).toBe(8)
    const begun = performance.now()
    coffer.signal('SIGTERM')
    // An echo of the first signal does not count as another.
    await delay(1500)
    expect(sockets.map(({ destroyed }) => destroyed)).not.toContain(true)
    const ending = await coffer.stop()
    const milliseconds = performance.now() - begun - 1500
    report('P29', `a second SIGTERM ended it after ${Math.round(milliseconds)} ms`)
    for (const socket of sockets) socket.destroy()
    expect(milliseconds).toBeLessThan(3000)
    expect(ending.signal).toBeNull()
    await using again = await startCoffer({ env: quiet, folder: coffer.folder })
    const found = await settled(again, { descriptors: Number.POSITIVE_INFINITY })
    expect(found).toEqual(atRest(0, 0, found.descriptors))
  })
})
