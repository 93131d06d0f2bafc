import { describe, expect, it } from 'vitest'
import { createTusLocks } from './tus-locks.ts'

const never = new AbortController().signal
const ignore = () => {}

/** What `@tus/server` gives to a lock; it is not asked for. */
const unused = [never, ignore] as const

describe('a lock', () => {
  it('is had by one after the other, in their order', async () => {
    const locks = createTusLocks()
    const seen: number[] = []
    let held = 0
    const work = async (number: number) => {
      const lock = locks.lockerFor(ignore, never).newLock('a')
      await lock.lock(...unused)
      held += 1
      expect(held).toBe(1)
      await Promise.resolve()
      seen.push(number)
      held -= 1
      await lock.unlock()
    }
    await Promise.all([0, 1, 2, 3].map(work))
    expect(seen).toEqual([0, 1, 2, 3])
  })

  it('does not wait for that of another Upload', async () => {
    const locks = createTusLocks()
    for (const id of ['a', 'b'])
      await locks
        .lockerFor(ignore, never)
        .newLock(id)
        .lock(...unused)
  })

  it('asks who has it to give way, once', async () => {
    const locks = createTusLocks()
    let asked = 0
    const holder = locks.lockerFor(() => {
      asked += 1
    }, never)
    const first = holder.newLock('a')
    await first.lock(...unused)
    const second = locks.lockerFor(ignore, never).newLock('a')
    const waiting = second.lock(...unused)
    await Promise.resolve()
    expect(asked).toBe(1)
    await first.unlock()
    await waiting
    expect(asked).toBe(1)
  })

  it('is not waited for by who leaves, and those behind get it in their turn', async () => {
    const locks = createTusLocks()
    const first = locks.lockerFor(ignore, never).newLock('a')
    await first.lock(...unused)
    const leaving = new AbortController()
    const second = locks
      .lockerFor(ignore, leaving.signal)
      .newLock('a')
      .lock(...unused)
    const third = locks.lockerFor(ignore, never).newLock('a')
    let isThird = false
    const waiting = third.lock(...unused).then(() => {
      isThird = true
    })
    leaving.abort(new Error('The client left.'))
    await expect(second).rejects.toThrow('The client left.')
    expect(isThird).toBe(false)
    await first.unlock()
    await waiting
    expect(isThird).toBe(true)
  })

  it('is waited for no longer than its patience', async () => {
    const locks = createTusLocks(1)
    const first = locks.lockerFor(ignore, never).newLock('a')
    await first.lock(...unused)
    const second = locks
      .lockerFor(ignore, never)
      .newLock('a')
      .lock(...unused)
    await expect(second).rejects.toMatchObject({ code: 'service_unavailable' })
    await first.unlock()
    await locks
      .lockerFor(ignore, never)
      .newLock('a')
      .lock(...unused)
  })
})
