import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { caseNames, preparePython, runCases, skipReason } from './python.ts'
import { type Coffer, startCoffer } from './start-coffer.ts'

/** The first begins with lists of an empty store. */
const modules = ['openai_cases', 'upload_cases']

describe.skipIf(skipReason !== undefined)('the official Python package', () => {
  let coffer: Coffer
  let results: Map<string, string | null>
  beforeAll(async () => {
    const python = await preparePython('requirements.txt')
    coffer = await startCoffer({ env: { COFFER_MAX_FILE_BYTES: `${1024 * 1024}` } })
    results = await runCases(python, modules, coffer)
  }, 300_000)
  afterAll(async () => {
    await coffer?.[Symbol.asyncDispose]()
  })

  it.each(modules.flatMap(caseNames))('%s', (name) => {
    expect(results.get(name)).toBeNull()
  })
})
