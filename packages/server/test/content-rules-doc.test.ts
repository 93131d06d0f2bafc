/** Holds docs/content-rules.md against what is said to whoever breaks a rule. */

import { globSync, readFileSync } from 'node:fs'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { UploadPurpose } from '@coffer/contract'
import { openFileChecks } from '@coffer/server/tools'
import PdfDocument from 'pdfkit'
import { describe, expect, it } from 'vitest'

const MiB = 1024 * 1024
const page = readFileSync(new URL('../../../docs/content-rules.md', import.meta.url), 'utf8')
const folder = new URL('../src/content-rules/', import.meta.url)
const sources = globSync('*.ts', { cwd: folder })
  .filter((name) => !name.endsWith('.test.ts'))
  .map((name) => readFileSync(new URL(name, folder), 'utf8'))

interface Rule {
  readonly code: string
  readonly text: string
}

interface Example {
  readonly code: string
  readonly purpose: string
  readonly filename: string
  readonly flags: readonly string[]
  readonly content: string
  readonly message: string
}

const [, ...sections] = page.split(/^### /m)
const rules: Rule[] = sections.map((section) => {
  const [, code = ''] = /^`([a-z_0-9]+)`$/m.exec(section) ?? []
  return { code, text: section.split(/^## /m)[0] ?? '' }
})

const examples: Example[] = rules.flatMap(({ code, text }) =>
  [...text.matchAll(/^```text (\S+) (\S+) ?(.*)\n([\s\S]*?)^```\n\n> (.*)$/gm)].map((match) => {
    const [, purpose = '', filename = '', flags = '', content = '', message = ''] = match
    return { code, purpose, filename, flags: flags.split(' '), content, message }
  }),
)

/** Of what cannot stand in a page: a file of that kind, and its purpose. */
const made: Record<string, () => Promise<[string, string, string | Uint8Array]>> = {
  invalid_utf8: async () => ['evals', 'a.jsonl', Buffer.from('{"item": {"a": "\xff"}}', 'latin1')],
  line_too_long: async () => ['evals', 'a.jsonl', `"${'a'.repeat(16 * MiB)}"`],
  line_too_complex: async () => ['evals', 'a.jsonl', '['.repeat(1_000_001)],
  too_many_requests: async () => ['batch', 'a.jsonl', requests(50_001)],
  batch_too_large: async () => ['batch', 'a.jsonl', ' '.repeat(200 * MiB + 1)],
  invalid_encoding: async () => ['assistants', 'a.txt', Buffer.from('caf\xe9', 'latin1')],
  too_many_tokens: async () => ['assistants', 'a.txt', ' a'.repeat(2_000_001)],
  encrypted: async () => {
    const pdf = new PdfDocument({ userPassword: 'secret' })
    pdf.text('Hello')
    pdf.end()
    return ['assistants', 'a.pdf', await buffer(pdf)]
  },
}

/** What takes too long to be made: their tests stand beside the code. */
const seenElsewhere = [
  ...['too_many_pages', 'unpacks_too_large', 'takes_too_long', 'takes_too_much_memory'],
]

function requests(count: number): string {
  const lines = Array.from({ length: count }, (_, number) =>
    JSON.stringify({
      ...{ custom_id: `${number}`, method: 'POST', url: '/v1/embeddings' },
      body: { model: 'm', input: 'a' },
    }),
  )
  return lines.join('\n')
}

async function check(
  purpose: string,
  filename: string,
  content: string | Uint8Array,
  contentRules: 'full' | 'strict' = 'full',
) {
  await using place = await mkdtempDisposable(join(tmpdir(), 'coffer-rules-'))
  const path = join(place.path, filename)
  await writeFile(path, content)
  await using checks = openFileChecks(contentRules)
  const { details } = await checks.check(path, {
    purpose: UploadPurpose.parse(purpose),
    signal: new AbortController().signal,
  })
  return details
}

describe('docs/content-rules.md', () => {
  it('tells of every fault that there is, and of no other', () => {
    const codes = sources.flatMap((source) =>
      [
        ...source.matchAll(/(?:code: |(?:lineFault|ofContent|DocumentError)\(\s*)'([a-z_0-9]+)'/g),
      ].map(([, code]) => code ?? ''),
    )
    const damaged = sources.some((source) => source.includes("DocumentError('damaged'"))
    expect(damaged).toBe(true)
    expect([...new Set(rules.map(({ code }) => code))].sort()).toEqual([...new Set(codes)].sort())
  })

  it('has a message for every rule', () => {
    for (const { code, text } of rules) expect(`${code}: ${text}`).toMatch(/^> /m)
  })

  it.each(examples)('$code of $purpose: $message', async (example) => {
    const { purpose, filename, flags, content, code, message } = example
    const level = flags.includes('strict') ? 'strict' : 'full'
    const [first] = await check(purpose, filename, content, level)
    expect(first).toMatchObject({ code, message })
  })

  it.each(Object.keys(made))('says the words that it tells of %s', async (code) => {
    const [purpose = '', filename = '', content = ''] = (await made[code]?.()) ?? []
    const details = await check(purpose, filename, content)
    const [, told] = /^> (.*)$/m.exec(rules.find((rule) => rule.code === code)?.text ?? '') ?? []
    expect(details).toContainEqual(expect.objectContaining({ code, message: told }))
  })

  it.each(seenElsewhere)('has the words of the code of %s', (code) => {
    const [, told = ''] =
      /^> (.*)$/m.exec(rules.find((rule) => rule.code === code)?.text ?? '') ?? []
    for (const words of told.split(/\d+/)) {
      expect(sources.filter((source) => source.includes(words))).not.toEqual([])
    }
  })

  it('has an example or a check for each rule', () => {
    const shown = [...examples.map(({ code }) => code), ...Object.keys(made), ...seenElsewhere]
    expect(rules.filter(({ code }) => !shown.includes(code))).toEqual([])
  })

  it('shows a report as it is', async () => {
    const [, json = ''] = /^```json report\n([\s\S]*?)^```$/m.exec(page) ?? []
    const { details } = JSON.parse(json)
    const good = requests(1)
    const content = `${good}\n${good.replace('"custom_id":"0",', '')}\n{"custom_id": 3\n`
    expect(await check('batch', 'requests.jsonl', content)).toEqual(details)
  })
})
