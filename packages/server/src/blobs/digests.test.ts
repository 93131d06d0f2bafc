import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createBlockSums } from './block-sums.ts'
import { createDigests, type Digests, digestsOf } from './digests.ts'

describe('digests', () => {
  let digests: Digests
  beforeEach(() => {
    digests = createDigests()
  })
  afterEach(() => digests.close())

  it('are those of each content, also of many at once', async () => {
    const contents = Array.from({ length: 5 }, (_, index) => [
      shared(300_000, index),
      shared(7, index),
    ])
    const results = await Promise.all(
      contents.map(async (pieces) => {
        const digest = await digests.begin()
        await Promise.all(pieces.map(digest.add))
        return digest.result()
      }),
    )
    expect(results).toEqual(contents.map((pieces) => expected(Buffer.concat(pieces))))
  })

  it('read the memory of the piece until they have it', async () => {
    const piece = shared(1000, 1)
    const before = Buffer.from(piece)
    const digest = await digests.begin()
    await digest.add(piece)
    piece.fill(0)
    expect(await digest.result()).toEqual(expected(before))
  })

  it('are those of nothing where nothing came', async () => {
    expect(await (await digests.begin()).result()).toEqual(expected(Buffer.alloc(0)))
  })

  it('are MD5 where that is asked for, beside others', async () => {
    const [content, md5] = [await digests.begin(), await digests.beginMd5()]
    const pieces = [shared(1000, 1), new Uint8Array(1000).fill(2)]
    for (const piece of pieces) await Promise.all([content.add(piece), md5.add(piece)])
    const whole = Buffer.concat(pieces)
    expect(await md5.result()).toBe(createHash('md5').update(whole).digest('hex'))
    expect(await content.result()).toEqual(expected(whole))
    expect(await (await digests.beginMd5()).result()).toBe(createHash('md5').digest('hex'))
  })

  it('fail where the thread stops, and go on with another', async () => {
    const started = once(process, 'worker')
    const digest = await digests.begin()
    const [worker] = (await started) as [Worker]
    const added = digest.add(shared(1000, 1))
    await Promise.all([worker.terminate(), expect(added).rejects.toThrow('stopped')])
    await expect(digest.result()).rejects.toThrow('The thread for digests stopped.')

    const next = await digests.begin()
    await next.add(shared(1000, 2))
    expect(await next.result()).toEqual(expected(shared(1000, 2)))
  })

  it('go on with one other thread when that of before crashes', async () => {
    const started = once(process, 'worker')
    const digest = await digests.begin()
    const [worker] = (await started) as [Worker]
    const begun: Promise<unknown>[] = []
    const others: Worker[] = []
    const note = (other: Worker) => void others.push(other)
    process.on('worker', note)
    // It tells of the error first, and of its end a while after.
    for (const event of ['error', 'exit']) worker.once(event, () => begun.push(digests.begin()))
    const added = digest.add('no bytes' as unknown as Uint8Array)
    await expect(added).rejects.toThrow()
    worker.emit('error', new Error('out of memory'))
    await worker.terminate()
    await Promise.all(begun)
    process.off('worker', note)
    expect(begun).toHaveLength(2)
    expect(others).toHaveLength(1)
  })

  it('of small content are the same', () => {
    const content = Buffer.from(shared(5000, 3))
    expect(digestsOf(content)).toEqual(expected(content))
  })
})

function shared(bytes: number, seed: number): Uint8Array {
  const piece = new Uint8Array(new SharedArrayBuffer(bytes))
  for (let at = 0; at < bytes; at += 1) piece[at] = Math.imul(at + seed, 0x9e37_79b1) >>> 24
  return piece
}

function expected(content: Uint8Array) {
  const sums = createBlockSums()
  sums.add(content)
  return {
    sha256: createHash('sha256').update(content).digest('hex'),
    checksums: sums.result(),
  }
}
