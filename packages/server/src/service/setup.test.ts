import { describe, expect, it } from 'vitest'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { createAccess } from './access.ts'
import { createIds } from './ids.ts'
import { setUp } from './setup.ts'

describe('the first set-up', () => {
  it('makes a key that works, and an owner for it', async () => {
    await using coffer = await openCoffer()
    const key = await coffer.setUp(undefined)
    expect(key).toMatch(/^sk-coffer-/)
    expect(await coffer.ownerOf(key)).toEqual({
      organization_id: expect.stringMatching(/^org-/),
      project_id: expect.stringMatching(/^proj_/),
    })
  })

  it('makes no key where one is configured, which works', async () => {
    await using coffer = await openCoffer()
    expect(await coffer.setUp('sk-mine')).toBe(undefined)
    expect(await coffer.ownerOf('sk-mine')).toBeDefined()
  })

  it('stores nothing of a key but its digest', async () => {
    await using coffer = await openCoffer()
    const key = await coffer.setUp(undefined)
    expect(coffer.written.join()).toContain('"digest":"')
    expect(coffer.written.join()).not.toContain(key)
    await coffer.setUp('sk-mine')
    expect(coffer.written.join()).not.toContain('sk-mine')
  })
})

describe('a later set-up', () => {
  it('makes no other key and no other owner', async () => {
    await using coffer = await openCoffer()
    const key = await coffer.setUp(undefined)
    const owner = await coffer.ownerOf(key)
    expect(await coffer.setUp(undefined)).toBe(undefined)
    expect(await coffer.ownerOf(key)).toEqual(owner)
  })

  it('gives a configured key to the same owner, in place of the first key', async () => {
    await using coffer = await openCoffer()
    const first = await coffer.setUp(undefined)
    const owner = await coffer.ownerOf(first)
    expect(await coffer.setUp('sk-mine')).toBe(undefined)
    expect(await coffer.ownerOf('sk-mine')).toEqual(owner)
    expect(await coffer.ownerOf(first)).toBe(undefined)
  })

  it('replaces the configured key by another', async () => {
    await using coffer = await openCoffer()
    await coffer.setUp('sk-mine')
    await coffer.setUp('sk-other')
    expect(await coffer.ownerOf('sk-mine')).toBe(undefined)
    expect(await coffer.ownerOf('sk-other')).toBeDefined()
  })

  it('takes the same configured key again and again', async () => {
    await using coffer = await openCoffer()
    for (let times = 0; times < 3; times += 1) await coffer.setUp('sk-mine')
    expect(await coffer.ownerOf('sk-mine')).toBeDefined()
  })

  it('takes the first key as the configured one', async () => {
    await using coffer = await openCoffer()
    const first = await coffer.setUp(undefined)
    await coffer.setUp(first)
    expect(await coffer.ownerOf(first)).toBeDefined()
    await coffer.setUp('sk-other')
    expect(await coffer.ownerOf(first)).toBe(undefined)
  })

  it('makes no key where a configured one was and is no more', async () => {
    await using coffer = await openCoffer()
    await coffer.setUp('sk-mine')
    expect(await coffer.setUp(undefined)).toBe(undefined)
  })
})

/** A store in memory, with what was written of keys. */
async function openCoffer() {
  const store = await openSqliteStore(':memory:')
  const written: string[] = []
  const metadata: MetadataStore = {
    ...store,
    setApiKey(key) {
      written.push(JSON.stringify(key))
      return store.setApiKey(key)
    },
    addFirstApiKey(key) {
      written.push(JSON.stringify(key))
      return store.addFirstApiKey(key)
    },
  }
  const access = createAccess({ metadata })
  let count = 0
  const ids = createIds((bytes) => {
    count += 1
    return Buffer.alloc(bytes, count)
  })
  const clock = { now: () => 1_700_000_000 }
  return {
    written,
    setUp: (configuredKey: string | undefined) => setUp({ metadata, clock, ids }, configuredKey),
    ownerOf: (apiKey: string | undefined) =>
      access
        .authenticate({ apiKey, organization: undefined, project: undefined })
        .catch(() => undefined),
    [Symbol.asyncDispose]: () => store.close(),
  }
}
