import { describe, expect, it } from 'vitest'
import { inParallel } from '../src/in-parallel.ts'

const { signal } = new AbortController()

describe('work in parallel', () => {
  it('rejects with what one of it threw, also while the next item is waited for', async () => {
    const failed = Promise.withResolvers<void>()
    async function* items() {
      yield 'bad'
      await failed.promise
      yield 'good'
    }
    const done: string[] = []
    const all = inParallel(items(), 8, signal, async (item) => {
      if (item === 'good') return void done.push(item)
      setImmediate(failed.resolve)
      throw new Error('It is bad.')
    })
    await expect(all).rejects.toThrow('It is bad.')
    expect(done).toEqual([])
  })

  it('ends what was begun before it rejects', async () => {
    const slow = Promise.withResolvers<void>()
    let ended = false
    const all = inParallel(['slow', 'bad'], 8, signal, async (item) => {
      if (item === 'bad') throw new Error('It is bad.')
      setImmediate(slow.resolve)
      await slow.promise
      ended = true
    })
    await expect(all).rejects.toThrow('It is bad.')
    expect(ended).toBe(true)
  })
})
