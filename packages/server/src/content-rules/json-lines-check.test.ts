import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createJsonLinesCheck,
  type JsonLinesOptions,
  type JsonLinesPurpose,
  type JsonLinesReport,
  jsonLinesPurposes,
} from './json-lines-check.ts'

const full: JsonLinesOptions = {
  ...{ purposes: jsonLinesPurposes, level: 'full', maxBatchLines: 50_000 },
}

function check(
  purpose: JsonLinesPurpose,
  content: string | Buffer,
  cuts: readonly number[] = [],
  options = full,
): JsonLinesReport {
  const bytes = Buffer.from(content)
  const checking = createJsonLinesCheck(options)
  let at = 0
  for (const length of [...cuts, bytes.length]) {
    checking.add(Uint8Array.from(bytes.subarray(at, at + length)))
    at += length
  }
  const report = checking.result().get(purpose)
  if (report === undefined) throw new Error(`There is no report for ${purpose}.`)
  return report
}

/** As `2 missing_required_parameter url`. */
function faultsOf(
  purpose: JsonLinesPurpose,
  content: string | Buffer,
  options?: JsonLinesOptions,
): string[] {
  return check(purpose, content, [], options).faults.faults.map(({ line, code, param }) =>
    [line, code, param].filter((one) => one !== null).join(' '),
  )
}

const request = (id: string, change: Record<string, unknown> = {}) => ({
  ...{ custom_id: id, method: 'POST', url: '/v1/chat/completions' },
  ...{ body: { model: 'm', messages: [] }, ...change },
})
const linesOf = (...values: unknown[]) => values.map((value) => JSON.stringify(value)).join('\n')
const user = { role: 'user', content: 'Hello' }
const assistant = { role: 'assistant', content: 'Hi' }

describe('a batch', () => {
  it('may be as it should be, with a byte order mark, CRLF and empty lines at its end', () => {
    const content = `\ufeff${JSON.stringify(request('a'))}\r\n${JSON.stringify(request('b'))}\r\n\r\n \n`
    expect(check('batch', content)).toEqual({
      ...{ lines: 2, faults: { faults: [], faultCount: 0 } },
      models: new Map([['m', 2]]),
    })
  })

  it.each([
    ['no JSON', '{"a": ', ['1 invalid_json_line']],
    ['an array', '[]', ['1 invalid_json_line']],
    ['nothing in a line', `${linesOf(request('a'))}\n\n${linesOf(request('b'))}`, ['2 empty_line']],
    ['nothing at all', '', ['empty_file']],
    ['nothing but empty lines', '\n \r\n', ['empty_file']],
    [
      'no id',
      linesOf(request('a', { custom_id: undefined })),
      ['1 missing_required_parameter custom_id'],
    ],
    ['an id twice', linesOf(request('a'), request('a')), ['2 duplicate_custom_id custom_id']],
    [
      'an id twice, once escaped',
      `${linesOf(request('é'))}\n${linesOf(request('x')).replace('"x"', '"\\u00e9"')}`,
      ['2 duplicate_custom_id custom_id'],
    ],
    [
      'no method',
      linesOf(request('a', { method: undefined })),
      ['1 missing_required_parameter method'],
    ],
    ['another method', linesOf(request('a', { method: 'GET' })), ['1 invalid_value method']],
    ['no path', linesOf(request('a', { url: 'https://a/v1' })), ['1 invalid_url url']],
    [
      'two endpoints',
      linesOf(request('a'), request('b', { url: '/v1/responses' })),
      ['2 invalid_url url'],
    ],
    ['no body', linesOf(request('a', { body: undefined })), ['1 missing_required_parameter body']],
    ['no model', linesOf(request('a', { body: {} })), ['1 invalid_request body.model']],
    [
      'two models',
      linesOf(request('a'), request('b', { body: { model: 'n' } })),
      ['2 mismatched_model body.model'],
    ],
    [
      'a stream',
      linesOf(request('a', { body: { model: 'm', stream: true } })),
      ['1 streaming_unsupported body.stream'],
    ],
  ])('must not have %s', (_, content, faults) => {
    expect(faultsOf('batch', content)).toEqual(faults)
  })

  it('has at most 50,000 requests', () => {
    const ids = Array.from({ length: 50_001 }, (_, index) => JSON.stringify(request(`${index}`)))
    expect(faultsOf('batch', ids.slice(0, 50_000).join('\n'))).toEqual([])
    expect(faultsOf('batch', ids.join('\n'))).toEqual(['50001 too_many_requests'])
  })
})

describe('training', () => {
  it.each([
    ['a chat', { messages: [user, assistant] }],
    [
      'a chat that calls a tool',
      { messages: [user, { role: 'assistant', tool_calls: [{}] }], tools: [{}] },
    ],
    ['a completion', { prompt: '2 + 2 =', completion: ' 4' }],
    [
      'a preference',
      {
        input: { messages: [user] },
        preferred_output: [assistant],
        non_preferred_output: [assistant],
      },
    ],
    ['what a grader is given', { messages: [user], reference: 4 }],
    ['a shape that is not known', { text: 'anything' }],
    ['a preference of another trainer', { prompt: 'a', chosen: 'b', rejected: 'c' }],
    ['a completion of messages', { prompt: [user], completion: [assistant] }],
    [
      'a chat with nulls',
      { messages: [user, { ...assistant, weight: null, name: null }], tools: null },
    ],
    [
      'an assistant that only thinks',
      { messages: [user, { role: 'assistant', content: null, reasoning_content: 'Hm' }] },
    ],
  ])('may be %s', (_, line) => {
    expect(faultsOf('fine-tune', linesOf(line))).toEqual([])
  })

  it.each([
    ['messages that are none', { messages: 'Hello' }, ['1 invalid_type messages']],
    [
      'no messages',
      { messages: [] },
      ['1 invalid_type messages', '1 missing_assistant_message messages'],
    ],
    [
      'an unknown role',
      { messages: [{ ...user, role: 'x' }, assistant] },
      ['1 invalid_value messages[0].role'],
    ],
    [
      'no content',
      { messages: [{ role: 'user' }, assistant] },
      ['1 missing_required_parameter messages[0].content'],
    ],
    [
      'another weight',
      { messages: [user, { ...assistant, weight: 2 }] },
      ['1 invalid_value messages[1].weight'],
    ],
    ['nothing to learn from', { messages: [user] }, ['1 missing_assistant_message messages']],
    ['half a completion', { prompt: 'a' }, ['1 missing_required_parameter completion']],
    [
      'half a preference',
      { input: { messages: [user] }, preferred_output: [assistant] },
      ['1 missing_required_parameter non_preferred_output'],
    ],
  ])('must not have %s', (_, line, faults) => {
    expect(faultsOf('fine-tune', linesOf(line))).toEqual(faults)
  })

  it('says in the words of the vendor what is no dictionary', () => {
    const { faults } = check('fine-tune', '{"prompt": "a", "completion": "b"}\n["a"]')
    expect(faults.faults).toEqual([
      {
        ...{ line: 2, offset: 35, code: 'invalid_json_line', param: null },
        message:
          'Expected file to have JSONL format, where every line is a JSON dictionary. Line 2 is not a ' +
          'dictionary (HINT: line starts with: "["a...").',
        expected: 'a JSON object',
      },
    ])
  })
})

describe('what is not known', () => {
  it.each([
    ['fine-tune', { text: 'anything' }, ['1 unknown_shape']],
    ['batch', request('a', { url: '/v1/rerank' }), ['1 invalid_url url']],
  ] as const)('is a fault only where rules are strict: %s', (purpose, line, faults) => {
    expect(faultsOf(purpose, linesOf(line))).toEqual([])
    expect(faultsOf(purpose, linesOf(line), { ...full, level: 'strict' })).toEqual(faults)
  })
})

describe('evals', () => {
  it('have items', () => {
    expect(faultsOf('evals', linesOf({ item: {} }, {}, { item: 4 }))).toEqual([
      ...['2 missing_required_parameter item', '3 invalid_type item'],
    ])
  })
})

describe('any lines', () => {
  it.each([
    ['deep nesting', `{"a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`, []],
    ['keys that are there twice', '{"item": 1, "item": {}}', []],
    ['half of a surrogate pair, escaped', '{"item": {"a": "\\ud800"}}', []],
    ['a huge number', '{"item": {"a": 1e999}}', []],
    [
      'the name of a prototype',
      '{"__proto__": {"item": {}}}',
      ['1 missing_required_parameter item'],
    ],
    ['a NUL', '{"item": {}}\0', ['1 invalid_json_line']],
    [
      'bytes that are no text',
      Buffer.from('{"item": {"a": "\xff"}}', 'latin1'),
      ['1 invalid_utf8'],
    ],
    ['a line of 16 MiB', `{"item": {"a": "${'x'.repeat(16 * 1024 * 1024 - 19)}"}}`, []],
    [
      'a longer line',
      `{"item": {"a": "${'x'.repeat(16 * 1024 * 1024 - 18)}"}}\n{}`,
      ['1 line_too_long', '2 missing_required_parameter item'],
    ],
  ])('with %s', (_, content, faults) => {
    const found = faultsOf('evals', content)
    expect(
      found.filter((one) => one !== '1 missing_required_parameter item' || faults.length > 0),
    ).toEqual(faults)
  })

  it('are told of with a hundred faults, and all are counted', () => {
    const { faults: found, lines } = check('evals', '{}\n'.repeat(1000))
    const { faults, faultCount } = found
    expect([faults.length, faultCount, lines]).toEqual([100, 1000, 1000])
  })

  it('have the same faults wherever their pieces are cut', () => {
    const line = fc.constantFrom(
      '{"item": {}}',
      '{"item": "é\u{1f600}"}',
      '{',
      '',
      ' ',
      '[]',
      '{"a": 1}',
    )
    const end = fc.constantFrom('\n', '\r\n')
    fc.assert(
      fc.property(
        fc.array(fc.tuple(line, end), { maxLength: 12 }),
        fc.array(fc.nat(10), { maxLength: 30 }),
        (lines, cuts) => {
          const content = lines.flat().join('')
          expect(check('evals', content, cuts)).toEqual(check('evals', content))
        },
      ),
      { numRuns: 1000 },
    )
  })
})
