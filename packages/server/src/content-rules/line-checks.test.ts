import { afterEach, describe, expect, it } from 'vitest'
import type { JsonLinesOptions } from './json-lines-check.ts'
import { createLineChecks, type LineCheck, type LineChecksOptions } from './line-checks.ts'

const KiB = 1024
const options: JsonLinesOptions = { purposes: ['evals'], level: 'full', maxBatchLines: 9 }

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const checks of open.splice(0)) await checks.close()
})

function make(needs?: LineChecksOptions) {
  const checks = createLineChecks(needs)
  open.push(checks)
  return checks
}

/** Gives the pieces as an upload does: each in memory that is overwritten behind it. */
async function give(check: LineCheck, content: string, pieceBytes: number): Promise<void> {
  const bytes = Buffer.from(content)
  const memory = Buffer.alloc(pieceBytes)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const length = bytes.copy(memory, 0, at, at + pieceBytes)
    await check.add(memory.subarray(0, length))
    memory.fill(0)
  }
}

async function linesOf(check: LineCheck) {
  const report = (await check.result()).get('evals') ?? expect.fail()
  return { lines: report.lines, bad: report.faults.faults.map(({ line }) => line) }
}

/** So many lines, of which one is bad. */
function contentOf(lines: number, bad: number): string {
  const all = Array.from({ length: lines }, () => '{"item":{"a":"漢"}}')
  all[bad - 1] = '[]'
  return all.map((line) => `${line}\n`).join('')
}

/** The threads of this process that check lines. */
function resources(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length
}

describe('lines that are checked while they pass', () => {
  it.each([
    ['one small piece', 100, 16 * KiB],
    ['one piece of more than 16 KiB', 2_000, 64 * KiB],
    ['small pieces', 1_000, KiB],
    ['pieces that cut characters', 1_000, 7],
    ['many pieces', 50_000, 64 * KiB],
  ])('are reported in their order: %s', async (_, lines, pieceBytes) => {
    const check = make().begin(options)
    await give(check, contentOf(lines, lines - 1), pieceBytes)
    expect(await linesOf(check)).toEqual({ lines, bad: [lines - 1] })
  })

  it('may be none at all', async () => {
    expect(await linesOf(make().begin(options))).toEqual({ lines: 0, bad: [null] })
  })

  it('are reported again to whoever asks again', async () => {
    const check = make().begin(options)
    await give(check, contentOf(2_000, 5), 4 * KiB)
    expect(await check.result()).toBe(await check.result())
  })

  it('of several files are told apart, though they share a thread', async () => {
    const checks = make()
    const found = await Promise.all(
      Array.from({ length: 20 }, async (_, number) => {
        const check = checks.begin(options)
        await give(check, contentOf(1_000 + number, number + 1), 999)
        return linesOf(check)
      }),
    )
    expect(found).toEqual(
      Array.from({ length: 20 }, (_, number) => ({ lines: 1_000 + number, bad: [number + 1] })),
    )
  })

  it('are held against each purpose that they may turn out to have', async () => {
    const check = make().begin({ ...options, purposes: ['evals', 'fine-tune', 'batch'] })
    await give(check, '{"prompt":"a","completion":"b"}\n'.repeat(2_000), 4 * KiB)
    const reports = await check.result()
    expect([...reports].map(([purpose, { faults }]) => [purpose, faults.faultCount])).toEqual([
      ['evals', 2_000],
      ['fine-tune', 0],
      // Behind as many lines as a batch may have nothing is looked at any more.
      ['batch', 9 * 4 + 1],
    ])
  })

  it('fail where the thread stops, and the next go on in another', async () => {
    const checks = make({ heapMiB: 16 })
    const [greedy, other] = [checks.begin(options), checks.begin(options)]
    await give(other, contentOf(2_000, 7), 5 * KiB)
    const line = `{"item":{"a":[${'{},'.repeat(900_000)}{}]}}\n`
    await expect(give(greedy, line, 1024 * KiB)).rejects.toThrow(
      'The thread for lines of JSON stopped.',
    )
    // What it knew of the others is gone with it.
    for (const lost of [greedy, other]) {
      await expect(lost.result()).rejects.toThrow('The thread for lines of JSON stopped.')
    }
    const next = checks.begin(options)
    await give(next, contentOf(3_000, 7), 5 * KiB)
    expect(await linesOf(next)).toEqual({ lines: 3_000, bad: [7] })
  })

  it('start no thread where the content is small', async () => {
    const before = resources()
    const check = make().begin(options)
    await give(check, contentOf(10, 3), 16 * KiB)
    expect(await linesOf(check)).toEqual({ lines: 10, bad: [3] })
    expect(resources()).toBe(before)
  })

  it('leave no thread behind when they are closed', async () => {
    const before = resources()
    const checks = createLineChecks()
    const check = checks.begin(options)
    await give(check, contentOf(3_000, 7), 5 * KiB)
    await check.result()
    await checks.close()
    expect(resources()).toBe(before)
  })
})
