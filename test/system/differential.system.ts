import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { File } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { skipReason } from '../../packages/cli/test/python.ts'
import {
  type Coffer,
  makeFolder,
  runProgram,
  startCoffer,
} from '../../packages/cli/test/start-coffer.ts'
import { type CorpusForm, corpus } from '../../packages/server/test/form-corpus.ts'
import { inFlight } from './in-flight.ts'
import { report, tries } from './length.ts'
import { mutate, randomFrom } from './mutate.ts'

const batches = tries({ short: 4, long: 60 })
const batchCases = 2500
const seed = Number(process.env['COFFER_TEST_SEED'] ?? Date.now() % 2 ** 31)
const reference = fileURLToPath(new URL('strict-multipart.py', import.meta.url))

const Verdict = z.union([
  z.object({ fault: z.string() }),
  z.object({ filename: z.string(), sha256: z.string(), fields: z.record(z.string(), z.string()) }),
])
type Verdict = z.infer<typeof Verdict>

/** What the strict reader says of each form. */
async function judge(forms: readonly CorpusForm[]): Promise<Verdict[]> {
  await using folder = await makeFolder()
  const path = join(folder.path, 'cases.jsonl')
  const lines = forms.map(({ boundary, body }) =>
    JSON.stringify({ boundary, body: body.toString('base64') }),
  )
  await writeFile(path, lines.join('\n'))
  await using program = runProgram('python3', [reference, path])
  const { code } = await program.ended
  if (code !== 0) throw new Error(`The reference ended with ${code}.\n${program.stderr}`)
  return program.stdout
    .trim()
    .split('\n')
    .map((line) => Verdict.parse(JSON.parse(line)))
}

/** What the server made of a form: a file, with the digest of its bytes, or a refusal. */
async function store(coffer: Coffer, { boundary, body }: CorpusForm) {
  const headers = { 'content-type': `multipart/form-data; boundary="${boundary}"` }
  const response = await coffer.fetch('/v1/files', { method: 'POST', headers, body })
  if (response.status !== 200) return { status: response.status, text: await response.text() }
  const file = File.parse(await response.json())
  const content = await (await coffer.fetch(`/v1/files/${file.id}/content`)).bytes()
  await coffer.fetch(`/v1/files/${file.id}`, { method: 'DELETE' })
  const sha256 = createHash('sha256').update(content).digest('hex')
  return { status: 200, file, sha256 }
}

function generate(good: readonly CorpusForm[], random: () => number): CorpusForm {
  // What is taken is what matters, and most changes make a form that is not.
  const among = random() < 0.8 ? good : corpus
  const form = among[Math.floor(random() * among.length)]
  if (form === undefined) throw new Error('There is no such form.')
  if (form.body.length === 0) return form
  const others = corpus.map(({ body }) => body).filter((body) => body.length > 0)
  return { ...form, body: Buffer.from(mutate(form.body, others, random)) }
}

describe.skipIf(skipReason !== undefined)('P53: a form that the server takes', () => {
  it('has one file by a strict reader, too, of the same bytes and name', async () => {
    await using coffer = await startCoffer({ env: { COFFER_LOG_LEVEL: 'silent' } })
    const random = randomFrom(seed)
    const opinions = await judge(corpus)
    const good = corpus.filter((_, at) => !('fault' in (opinions[at] ?? { fault: '' })))
    const wrong: unknown[] = []
    let taken = 0
    let stricter = 0
    for (let batch = 0; batch < batches; batch += 1) {
      const forms = Array.from({ length: batchCases }, () => generate(good, random))
      if (batch === 0) forms.push(...corpus)
      const verdicts = await judge(forms)
      expect(verdicts).toHaveLength(forms.length)
      await inFlight(forms.entries(), 16, async ([at, form]) => {
        const verdict = verdicts[at]
        const stored = await store(coffer, form)
        if (stored.file === undefined) {
          if (verdict !== undefined && !('fault' in verdict)) stricter += 1
          if (stored.status >= 500) wrong.push({ form: form.body.toString('latin1'), stored })
          return
        }
        taken += 1
        const { filename, purpose } = stored.file
        const agrees =
          verdict !== undefined &&
          !('fault' in verdict) &&
          verdict.filename === filename &&
          verdict.sha256 === stored.sha256 &&
          verdict.fields['purpose'] === purpose
        if (!agrees) wrong.push({ form: form.body.toString('latin1'), stored, verdict })
      })
    }
    report(
      'P53',
      `${batches * batchCases + corpus.length} forms with the seed ${seed}: ${taken} taken, all ` +
        `as the reference reads them but ${wrong.length}; ${stricter} refused that it would take`,
    )
    expect(wrong.slice(0, 5)).toEqual([])
    expect(taken).toBeGreaterThan(batchCases / 10)
  })
})
