import { afterAll, describe, expect, it } from 'vitest'
import { corpus } from './form-corpus.ts'
import { createOutcomes, everySplit } from './outcomes.ts'
import { startServer } from './start-server.ts'

const server = await startServer()
afterAll(() => server[Symbol.asyncDispose]())

describe('what becomes of a form', () => {
  const outcomes = createOutcomes(server.url, server.apiKey)

  // Every split of every form, and every size of chunks, are in test/system/cuts.system.ts.
  it.each(corpus)('does not depend on where it is cut: $name', async (form) => {
    const whole = await outcomes.of(form, [form.body])
    expect(whole).toMatch(/^(200|4\d\d) /)
    const splits = everySplit(form, 11)
    const found = await Promise.all(splits.map((pieces) => outcomes.of(form, pieces)))
    expect(found.filter((one) => one !== whole)).toEqual([])
  })

  it.each(corpus)('does not depend on its chunks: $name', async (form) => {
    const whole = await outcomes.of(form, [form.body])
    const sizes = [1, 2, 3, 7, 16, 63]
    const found = await Promise.all(sizes.map((size) => outcomes.inChunks(form, size)))
    expect(found.filter((one) => one !== whole)).toEqual([])
  })
})
