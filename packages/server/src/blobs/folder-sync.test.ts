import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createFolderSync } from './folder-sync.ts'

describe('a folder sync', () => {
  it('flushes the folder and resolves when that has ended', async () => {
    const { flush, flushes } = controlledFlush()
    const call = watch(createFolderSync(flush).sync('a'))
    await turn()
    expect(call.state).toBe('pending')
    flushes[0]?.resolve()
    await turn()
    expect(call.state).toBe('fulfilled')
    expect(flushes.map(({ folder }) => folder)).toEqual(['a'])
  })

  it('does not count on a flush that had begun before it', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    watch(sync('a'))
    const second = watch(sync('a'))
    await turn()
    expect(flushes).toHaveLength(1)
    flushes[0]?.resolve()
    await turn()
    expect(second.state).toBe('pending')
    expect(flushes).toHaveLength(2)
    flushes[1]?.resolve()
    await turn()
    expect(second.state).toBe('fulfilled')
  })

  it('is one flush for all who ask while another runs', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    watch(sync('a'))
    const early = watch(sync('a'))
    await turn()
    const late = Array.from({ length: 50 }, () => watch(sync('a')))
    flushes[0]?.resolve()
    await turn()
    expect(flushes).toHaveLength(2)
    flushes[1]?.resolve()
    await turn()
    expect(flushes).toHaveLength(2)
    expect(new Set([early, ...late].map(({ state }) => state))).toEqual(new Set(['fulfilled']))
  })

  it('that came during the second flush waits for the third', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    const calls = [watch(sync('a')), watch(sync('a'))]
    flushes[0]?.resolve()
    await turn()
    calls.push(watch(sync('a')))
    flushes[1]?.resolve()
    await turn()
    expect(calls.map(({ state }) => state)).toEqual(['fulfilled', 'fulfilled', 'pending'])
    flushes[2]?.resolve()
    await turn()
    expect(calls.map(({ state }) => state)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
    expect(flushes).toHaveLength(3)
  })

  it('that is asked for as a flush ends counts on none that had begun before', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    const first = sync('a')
    watch(sync('a'))
    flushes[0]?.resolve()
    await first
    const begun = flushes.length
    const call = watch(sync('a'))
    for (const { resolve } of flushes.slice(0, begun)) resolve()
    await turn()
    expect(call.state).toBe('pending')
    for (const { resolve } of flushes) resolve()
    await turn()
    for (const { resolve } of flushes) resolve()
    await turn()
    expect(call.state).toBe('fulfilled')
  })

  it('never has two flushes of one folder at a time', async () => {
    let running = 0
    let most = 0
    const { sync } = createFolderSync(async () => {
      running += 1
      most = Math.max(most, running)
      await turn()
      running -= 1
    })
    const asking = Array.from({ length: 20 }, async (_, at) => {
      for (let wait = 0; wait < at % 5; wait += 1) await turn()
      await sync('a')
      await sync('a')
    })
    await Promise.all(asking)
    expect(most).toBe(1)
  })

  it('that fails rejects exactly those who waited for it', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    const first = watch(sync('a'))
    const sharing = [watch(sync('a')), watch(sync('a'))]
    flushes[0]?.resolve()
    await turn()
    const later = watch(sync('a'))
    const failure = new Error('The disk failed.')
    flushes[1]?.reject(failure)
    await turn()
    flushes[2]?.resolve()
    await turn()
    expect(first.state).toBe('fulfilled')
    expect(sharing.map(({ reason }) => reason)).toEqual([failure, failure])
    expect(later.state).toBe('fulfilled')
  })

  it('begins anew after one that failed', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    const failed = watch(sync('a'))
    flushes[0]?.reject(new Error('The disk failed.'))
    await turn()
    const next = watch(sync('a'))
    flushes[1]?.resolve()
    await turn()
    expect([failed.state, next.state]).toEqual(['rejected', 'fulfilled'])
  })

  it('of one folder does not wait for another', async () => {
    const { flush, flushes } = controlledFlush()
    const { sync } = createFolderSync(flush)
    const calls = [watch(sync('a')), watch(sync('b'))]
    expect(flushes.map(({ folder }) => folder)).toEqual(['a', 'b'])
    flushes[1]?.resolve()
    flushes[0]?.reject(new Error('The disk failed.'))
    await turn()
    expect(calls.map(({ state }) => state)).toEqual(['rejected', 'fulfilled'])
  })

  it('flushes a real folder, and rejects where there is none', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'coffer-sync-'))
    const { sync } = createFolderSync()
    await sync(folder.path)
    await expect(sync(join(folder.path, 'none'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

interface Flush {
  readonly folder: string
  resolve(): void
  reject(error: Error): void
}

/** A flush that ends when the test says so. */
function controlledFlush(): { flush: (folder: string) => Promise<void>; flushes: Flush[] } {
  const flushes: Flush[] = []
  return {
    flushes,
    flush(folder) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      flushes.push({ folder, resolve, reject })
      return promise
    },
  }
}

interface Watched {
  state: 'pending' | 'fulfilled' | 'rejected'
  reason: unknown
}

function watch(promise: Promise<void>): Watched {
  const watched: Watched = { state: 'pending', reason: undefined }
  promise.then(
    () => {
      watched.state = 'fulfilled'
    },
    (reason: unknown) => {
      watched.state = 'rejected'
      watched.reason = reason
    },
  )
  return watched
}
