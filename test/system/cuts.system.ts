import { describe, expect, it } from 'vitest'
import { startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { corpus } from '../../packages/server/test/form-corpus.ts'
import { createOutcomes, everySplit } from '../../packages/server/test/outcomes.ts'
import { inFlight, upTo } from './in-flight.ts'
import { report, tries } from './length.ts'

const step = tries({ short: 3, long: 1 })
const chunkSizes = [...upTo(64)].map((size) => size + 1).filter((size) => size % step === 1 % step)

describe('P51: what becomes of a form', () => {
  it('does not depend on how its bytes are cut', async () => {
    await using coffer = await startCoffer({ env: { COFFER_LOG_LEVEL: 'silent' } })
    const outcomes = createOutcomes(coffer.url, coffer.key)
    const differing: string[] = []
    let splits = 0
    let chunks = 0
    for (const form of corpus) {
      const whole = await outcomes.of(form, [form.body])
      await inFlight(everySplit(form, step), 8, async (pieces) => {
        splits += 1
        const found = await outcomes.of(form, pieces)
        if (found !== whole) differing.push(`${form.name} cut at ${pieces[0]?.length}: ${found}`)
      })
      await inFlight(chunkSizes, 8, async (size) => {
        chunks += 1
        const found = await outcomes.inChunks(form, size)
        if (found !== whole) differing.push(`${form.name} in chunks of ${size}: ${found}`)
      })
    }
    report(
      'P51',
      `${corpus.length} forms in ${splits} splits and ${chunks} chunkings, ` +
        `${differing.length} with another outcome`,
    )
    expect(differing).toEqual([])
  })
})
