import { describe, expect, it } from 'vitest'
import { createSharedWork } from './shared-work.ts'

const patient = new AbortController().signal

/** Work that is done when the test says so. */
function makeWork() {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let begun = 0
  return {
    resolve,
    reject,
    begun: () => begun,
    work() {
      begun += 1
      return promise
    },
  }
}

describe('work that is shared', () => {
  it('is done once for all who ask while it is under way', async () => {
    const shared = createSharedWork<string>(2)
    const { work, resolve, begun } = makeWork()
    const asked = [1, 2, 3].map(() => shared.ask('a', patient, work))
    resolve('done')
    expect(await Promise.all(asked)).toEqual(['done', 'done', 'done'])
    expect(begun()).toBe(1)
    expect(await shared.ask('a', patient, async () => 'again')).toBe('again')
  })

  it('fails for all who ask, and is forgotten', async () => {
    const shared = createSharedWork<string>(2)
    const { work, reject } = makeWork()
    const asked = [1, 2].map(() => shared.ask('a', patient, work))
    reject(new Error('It broke.'))
    for (const one of asked) await expect(one).rejects.toThrow('It broke.')
    expect(await shared.ask('a', patient, async () => 'again')).toBe('again')
  })

  it('waits for its turn, and is not begun if nobody waits for it then', async () => {
    const shared = createSharedWork<string>(1)
    const [first, second, third] = [makeWork(), makeWork(), makeWork()]
    const leaving = new AbortController()
    const one = shared.ask('a', patient, first.work)
    const two = shared.ask('b', leaving.signal, second.work)
    const three = shared.ask('c', patient, third.work)
    leaving.abort(new Error('Enough.'))
    await expect(two).rejects.toThrow('Enough.')
    expect(third.begun()).toBe(0)
    first.resolve('one')
    third.resolve('three')
    expect([await one, await three]).toEqual(['one', 'three'])
    expect([first.begun(), second.begun(), third.begun()]).toEqual([1, 0, 1])
  })

  it('is joined by who asks again after it left', async () => {
    const shared = createSharedWork<string>(1)
    const { work, resolve, begun } = makeWork()
    const leaving = new AbortController()
    const left = shared.ask('a', leaving.signal, work)
    leaving.abort(new Error('Enough.'))
    await expect(left).rejects.toThrow('Enough.')
    const again = shared.ask('a', patient, work)
    resolve('done')
    expect(await again).toBe('done')
    expect(begun()).toBe(1)
  })
})
