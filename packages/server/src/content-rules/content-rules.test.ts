import { afterAll, describe, expect, it } from 'vitest'
import { createContentRules, type RuleSettings } from './content-rules.ts'
import {
  assistantsType,
  extensionOf,
  isOfKind,
  typeOfHead,
  typeOfName,
  uploadExtensions,
} from './file-types.ts'
import { createLineChecks } from './line-checks.ts'
import { createTexts } from './texts.ts'
import type { WholeContent } from './whole-content.ts'

const [lineChecks, texts] = [createLineChecks(), createTexts()]
afterAll(() => Promise.all([lineChecks.close(), texts.close()]))

function rulesOf(settings: Partial<RuleSettings> = {}) {
  return createContentRules(
    {
      ...{ level: 'full', takesBareNames: true },
      ...{ maxBatchBytes: 1000, maxBatchLines: 10, maxFileTokens: 100 },
      ...settings,
    },
    { lineChecks, texts },
  )
}

function wholeOf(purpose: string, filename: string, content: Uint8Array): WholeContent {
  return {
    ...{ purpose, filename, bytes: content.length, encoding: 'utf-8', countsTokens: false },
    read: async (start, end) => content.subarray(start, end),
    asker: { owner: 'a', signal: new AbortController().signal },
  }
}

describe('the type of a file', () => {
  const office = 'application/vnd.openxmlformats-officedocument'

  // As the vendor's documents have them (contract §6.4).
  it.each([
    ['c', 'text/x-c'],
    ['cpp', 'text/x-c++'],
    ['cs', 'text/x-csharp'],
    ['css', 'text/css'],
    ['csv', 'text/csv'],
    ['doc', 'application/msword'],
    ['docx', `${office}.wordprocessingml.document`],
    ['gif', 'image/gif'],
    ['go', 'text/x-golang'],
    ['html', 'text/html'],
    ['java', 'text/x-java'],
    ['jpeg', 'image/jpeg'],
    ['jpg', 'image/jpeg'],
    ['js', 'text/javascript'],
    ['json', 'application/json'],
    ['md', 'text/markdown'],
    ['pdf', 'application/pdf'],
    ['php', 'text/x-php'],
    ['pkl', 'application/octet-stream'],
    ['png', 'image/png'],
    ['pptx', `${office}.presentationml.presentation`],
    ['py', 'text/x-python'],
    ['rb', 'text/x-ruby'],
    ['sh', 'application/x-sh'],
    ['tar', 'application/x-tar'],
    ['tex', 'text/x-tex'],
    ['ts', 'application/typescript'],
    ['txt', 'text/plain'],
    ['webp', 'image/webp'],
    ['xlsx', `${office}.spreadsheetml.sheet`],
    ['xml', 'application/xml'],
    ['zip', 'application/zip'],
  ])('of .%s is %s', (extension, mime) => {
    expect(assistantsType(extension)?.mime).toBe(mime)
    expect(typeOfName(`a.${extension.toUpperCase()}`)).toBe(mime)
  })

  it.each([
    ['a.jsonl', 'application/jsonl'],
    ['a.JSONL', 'application/jsonl'],
    ['a.mp4', 'video/mp4'],
    ['a', undefined],
    ['a.', undefined],
    ['.pdf', 'application/pdf'],
    ['a.constructor', undefined],
    ['a.unheardof', undefined],
  ])('of the name %s is %s', (name, mime) => {
    expect(typeOfName(name)).toBe(mime)
  })

  it('that the vendor lists at the upload are in its order', () => {
    // As its refusal has them (contract §2.3).
    const listed =
      'c cpp css csv doc docx gif go html java jpeg jpg js json md pdf php pkl png pptx py rb tar ' +
      'tex ts txt webp xlsx xml zip'
    expect(uploadExtensions.join(' ')).toBe(listed)
  })
})

describe('the extension of a name', () => {
  it.each([
    ['a.txt', 'txt'],
    ['a.tar.GZ', 'GZ'],
    ['.jsonl', 'jsonl'],
    ['a', ''],
    ['a.', ''],
    ['a.b/c', ''],
    ['', ''],
    ['..', ''],
  ])('%j is %j', (name, extension) => {
    expect(extensionOf(name)).toBe(extension)
  })
})

describe('the first bytes of a file', () => {
  const zip = Buffer.from('504b0304140000000000', 'hex')
  const jpeg = Buffer.from('ffd8ffe000104a464946', 'hex')

  it.each([
    ['pdf', Buffer.from('\n\nsome line\n%PDF-1.7'), true],
    ['pdf', Buffer.from(`${' '.repeat(1024)}%PDF-1.7`), false],
    ['zip', Buffer.from('504b050600000000', 'hex'), true],
    ['zip', Buffer.from('PKZIP'), false],
    ['tar', Buffer.alloc(1024), true],
    ['tar', Buffer.from('no archive'), false],
    ['docx', zip, true],
    ['docx', Buffer.from('<html>'), false],
    ['doc', zip, true],
    ['doc', Buffer.from('{\\rtf1 }'), true],
    ['doc', jpeg, false],
    ['image', jpeg, true],
    ['image', zip, false],
  ] as const)('of a kind: %s', async (kind, head, isOf) => {
    expect(isOfKind(kind, head, await typeOfHead(head))).toBe(isOf)
  })
})

describe('what is known before content comes', () => {
  const batch = { purpose: 'batch', filename: 'a.jsonl', bytes: 0 }

  it('is its name and its size', () => {
    const rules = rulesOf()
    expect(rules.foresee(batch)).toBeUndefined()
    expect(rules.foresee({ ...batch, bytes: 1000 })).toBeUndefined()
    expect(rules.foresee({ ...batch, bytes: 1001 })?.code).toBe('batch_too_large')
    expect(rules.foresee({ ...batch, filename: 'a.txt' })?.code).toBe('invalid_extension')
    expect(rules.foresee({ ...batch, purpose: 'user_data', bytes: 1e9 })).toBeUndefined()
    expect(rules.foresee({ ...batch, purpose: 'vision', filename: 'a.exe' })).toBeUndefined()
    expect(rules.mostBytes('batch')).toBe(1000)
    expect(rules.mostBytes('evals')).toBe(Number.MAX_SAFE_INTEGER)
    expect(rules.mostBytes(undefined)).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('is no size where the vendor looks at it later, and nothing without rules', () => {
    expect(rulesOf({ level: 'openai' }).foresee({ ...batch, bytes: 1001 })).toBeUndefined()
    expect(rulesOf({ level: 'openai' }).foresee({ ...batch, filename: 'a.JSONL' })).toBeDefined()
    const off = rulesOf({ level: 'off' })
    expect(off.foresee({ ...batch, filename: 'a.txt', bytes: 1e9 })).toBeUndefined()
    expect(off.mostBytes('batch')).toBe(Number.MAX_SAFE_INTEGER)
  })

  it.each([
    ['a.jsonl', undefined, true],
    ['a.JSONL', undefined, true],
    ['a', undefined, true],
    ['a.txt', undefined, false],
    ['a.txt', 'batch', true],
    ['a.jsonl', 'user_data', false],
    ['a.jsonl', 'assistants', false],
    ['a', 'evals', true],
  ])('tells whether lines may be asked for: %s for %s', async (filename, purpose, isWatched) => {
    const watch = rulesOf().watch({ filename, purpose })
    expect(watch !== undefined).toBe(isWatched)
    await watch?.result()
  })

  it('is of no use for lines without rules', () => {
    expect(rulesOf({ level: 'off' }).watch({ filename: 'a.jsonl', purpose: 'batch' })).toBe(
      undefined,
    )
  })

  it.each([
    ['full', ['fine-tune', 'batch', 'evals', 'assistants', 'vision']],
    ['strict', ['fine-tune', 'batch', 'evals', 'assistants', 'vision']],
    ['openai', ['fine-tune', 'batch', 'evals']],
    ['off', []],
  ] as const)('tells whose content is looked at: %s', (level, purposes) => {
    const all = ['fine-tune', 'batch', 'evals', 'assistants', 'vision', 'user_data']
    expect(all.filter((purpose) => rulesOf({ level }).looksAt(purpose))).toEqual(purposes)
  })
})

describe('the judgement of content', () => {
  it('is the same whether it was watched or is read', async () => {
    const content = Buffer.from(`${'{"item":{}}\n'.repeat(200_000)}[]\n`)
    const rules = rulesOf()
    const whole = wholeOf('evals', 'a.jsonl', content)
    const read = await rules.judge(whole)
    for (const purpose of ['evals', undefined]) {
      const watched = rules.watch({ filename: 'a.jsonl', purpose })
      for (let at = 0; at < content.length; at += 100_000) {
        await watched?.add(content.subarray(at, at + 100_000))
      }
      expect(await rules.judge({ ...whole, watched })).toEqual(read)
    }
    expect(read).toMatchObject({ lines: 200_001, faultCount: 1, mimeType: 'application/jsonl' })
  })

  it('fails with what reading fails with, and others go on', async () => {
    const rules = rulesOf()
    const content = Buffer.from('{"item":{}}\n'.repeat(400_000))
    const lost = new Error('The bytes are gone.')
    const whole = wholeOf('evals', 'a.jsonl', content)
    const failing = {
      ...whole,
      async read(start: number, end: number) {
        if (start > 0) throw lost
        return content.subarray(start, end)
      },
    }
    await expect(rules.judge(failing)).rejects.toBe(lost)
    expect(await rules.judge(whole)).toMatchObject({ lines: 400_000, faultCount: 0 })
  })

  it('reads nothing of what no rule asks for', async () => {
    const read = () => Promise.reject(new Error('It was read.'))
    for (const purpose of ['user_data', 'assistants', 'vision']) {
      const level = purpose === 'user_data' ? 'full' : 'openai'
      const whole = { ...wholeOf(purpose, 'a.txt', Buffer.alloc(9)), read }
      expect(await rulesOf({ level }).judge(whole)).toMatchObject({ faultCount: 0 })
    }
  })
})
