import { describe, expect, it } from 'vitest'
import { createBlobStore } from '../blobs/blob-store.ts'
import { createMemoryDriver } from '../blobs/memory.ts'
import type { LineCheck } from '../content-rules/line-checks.ts'
import { fileTooLarge } from './errors.ts'
import { createStaging } from './staging.ts'

/** A check that counts how often it was told that nothing more comes. */
function countEnds(failure?: Error): LineCheck & { ends: number } {
  return {
    ends: 0,
    async add() {
      if (failure !== undefined) throw failure
    },
    async result() {
      this.ends += 1
      return new Map()
    },
  }
}

function makeStaging() {
  let last = 0
  return createStaging({
    blobs: createBlobStore(createMemoryDriver()),
    blobIds: {
      async next() {
        last += 1
        return `blob-${last}`
      },
    },
    removal: { async remove() {}, async discard() {}, async settled() {} },
  })
}

describe('what watches content that is staged', () => {
  const needs = { maxBytes: 1000, tooLarge: () => fileTooLarge(1000) }
  async function* source() {
    yield Buffer.from('{}\n')
  }

  // Its thread would otherwise keep what it holds of the content for good.
  it.each([true, false])('is ended with the content, be it kept: %s', async (isKept) => {
    const watch = countEnds()
    const content = await makeStaging().stage(source(), { ...needs, watch })
    if (isKept) content.keep()
    await content[Symbol.asyncDispose]()
    expect(watch.ends).toBeGreaterThan(0)
  })

  it('is ended where it fails', async () => {
    const failure = new Error('The thread for lines of JSON stopped.')
    const watch = countEnds(failure)
    await expect(makeStaging().stage(source(), { ...needs, watch })).rejects.toThrow(
      failure.message,
    )
    expect(watch.ends).toBe(1)
  })
})
