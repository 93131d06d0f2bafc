import { describe, expect, it } from 'vitest'
import { createLanes } from './lanes.ts'

describe('lanes', () => {
  it('begin a work once its weight fits beside those that run', async () => {
    const lanes = createLanes(10)
    const ends = new Map<string, () => void>()
    const begun: string[] = []
    const work = (name: string) => () => {
      begun.push(name)
      return new Promise<void>((resolve) => ends.set(name, resolve))
    }
    await lanes.begin(4, work('a'))
    await lanes.begin(6, work('b'))
    const third = lanes.begin(5, work('c'))
    ends.get('a')?.()
    await Promise.resolve()
    expect(begun).toEqual(['a', 'b'])
    ends.get('b')?.()
    await third
    const heavy = lanes.begin(99, work('heavy'))
    ends.get('c')?.()
    await heavy
    expect(begun).toEqual(['a', 'b', 'c', 'heavy'])
    ends.get('heavy')?.()
    await lanes.end()
  })

  it('begin none behind one that failed, and end once all that run have', async () => {
    const lanes = createLanes(10)
    const slow = Promise.withResolvers<void>()
    let isEnded = false
    await lanes.begin(1, async () => {
      await slow.promise
      isEnded = true
    })
    await lanes.begin(1, () => Promise.reject(new Error('the first')))
    await lanes.begin(1, () => Promise.reject(new Error('the second'))).catch(() => {})
    await expect(lanes.begin(1, async () => {})).rejects.toThrow('the first')
    const ended = lanes.end()
    slow.resolve()
    await expect(ended).rejects.toThrow('the first')
    expect(isEnded).toBe(true)
  })
})
