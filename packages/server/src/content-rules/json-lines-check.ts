/** Holds content against what its purpose asks of JSON lines, while it passes. */

import { isUtf8 } from 'node:buffer'
import { createBatchRules } from './batch-rules.ts'
import { type FaultText, missing, type Tell, wrongType } from './fault.ts'
import { createFaultList, type Faults, mostTold } from './fault-list.ts'
import { checkTrainingLine } from './fine-tune-rules.ts'
import { type Line, mostLineBytes, watchLines } from './json-lines.ts'
import {
  hasTooManyMembers,
  isObject,
  type JsonObject,
  mostMembers,
  ownValue,
  parseObject,
} from './json-objects.ts'

/** Purposes whose files are lines of JSON. */
export const jsonLinesPurposes = ['fine-tune', 'batch', 'evals'] as const
export type JsonLinesPurpose = (typeof jsonLinesPurposes)[number]

/**
 * How much is asked: `openai` what the vendor refuses at the upload already (contract §2.3, §6),
 * `full` what would fail later, `strict` also training lines of a shape and requests to an endpoint
 * that are not known.
 */
export type RuleLevel = 'strict' | 'full' | 'openai'

export interface JsonLinesOptions {
  /** Those that the file may turn out to have. */
  readonly purposes: readonly JsonLinesPurpose[]
  readonly level: RuleLevel
  /** Of a batch. */
  readonly maxBatchLines: number
}

export interface JsonLinesReport {
  readonly faults: Faults
  /** With those that are empty, but for those at the end. */
  readonly lines: number
  /** Of a batch: how many requests there are of each model. */
  readonly models: ReadonlyMap<string, number>
}

export interface JsonLinesCheck {
  add(piece: Uint8Array): void
  /** To be called once, after the last piece. Has a report for each purpose. */
  result(): ReadonlyMap<JsonLinesPurpose, JsonLinesReport>
}

export function createJsonLinesCheck(options: JsonLinesOptions): JsonLinesCheck {
  const rules = options.purposes.map((purpose) => createLineRules(purpose, options))
  /** Empty lines at the end are no fault; so they wait for what comes behind them. */
  let blank: Line[] = []
  let blankCount = 0

  function take(line: Line): void {
    if (isBlank(line)) {
      if (blank.length < mostTold) blank.push(line)
      blankCount += 1
      return
    }
    if (blankCount > 0) {
      for (const rule of rules) rule.takeBlank(blank, blankCount)
      blank = []
      blankCount = 0
    }
    const fault = unreadable(line)
    const object = fault === undefined ? parseObject(line) : undefined
    for (const rule of rules) rule.take(line, fault, object)
  }

  // A byte order mark makes the vendor refuse the first line.
  const dropsMark = options.level !== 'openai'
  const watch = watchLines({ mostBytes: mostLineBytes, dropsMark }, take)
  return {
    add: watch.add,
    result() {
      watch.end()
      return new Map(rules.map((rule) => [rule.purpose, rule.result()]))
    },
  }
}

/** The lines of one file as one purpose sees them. */
function createLineRules(purpose: JsonLinesPurpose, { level, maxBatchLines }: JsonLinesOptions) {
  const list = createFaultList()
  const isBatch = purpose === 'batch'
  const isLenient = level === 'openai'
  const isStrict = level === 'strict'
  const batch = createBatchRules({ isStrict })
  let lines = 0
  let offset = 0

  const tell: Tell = (fault) => list.add({ line: lines, offset, ...fault })

  function check(object: JsonObject): void {
    if (isLenient) return
    if (purpose === 'fine-tune') checkTrainingLine(object, tell, isStrict)
    else if (purpose === 'evals') checkEvalLine(object, tell)
    // Of what is too much nothing is kept in mind.
    else if (lines <= maxBatchLines) batch.check(object, tell)
  }

  function notObject(line: Line): FaultText {
    if (!isBatch) return noDictionary(line)
    return isLenient ? noBatch : noJson(line)
  }

  return {
    purpose,
    /** @param fault why the line cannot be read; if it can, and is no object, both are undefined. */
    take(line: Line, fault: FaultText | undefined, object: JsonObject | undefined) {
      const before = lines
      lines = line.number
      offset = line.offset
      // The vendor looks no further than that.
      if (isLenient && isBatch && lines > 1) return
      if (isBatch && before <= maxBatchLines && lines > maxBatchLines) {
        tell(tooManyRequests(maxBatchLines))
      }
      if (object !== undefined) check(object)
      else tell(fault ?? notObject(line))
    },
    /** @param blank the first of `count`. */
    takeBlank(blank: readonly Line[], count: number) {
      if (isLenient && isBatch) return
      for (const { number, offset } of blank) list.add({ line: number, offset, ...emptyLine })
      list.count(count - blank.length)
    },
    result(): JsonLinesReport {
      if (lines === 0) {
        list.add({ line: null, offset: null, ...(isLenient && isBatch ? noBatch : noLines) })
      }
      return { lines, faults: list.result(), models: batch.models() }
    },
  }
}

/** Why a line is not even looked at as JSON. */
function unreadable(line: Line): FaultText | undefined {
  if (line.isTooLong) return tooLong
  if (!line.isAscii && !isUtf8(line.source.subarray(line.start, line.end))) return noText
  return hasTooManyMembers(line) ? tooManyMembers : undefined
}

function isBlank({ source, start, end, isTooLong }: Line): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = source[at]
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false
  }
  return !isTooLong
}

function checkEvalLine(line: JsonObject, tell: Tell): void {
  const item = ownValue(line, 'item')
  if (item === undefined) tell(missing('item'))
  else if (!isObject(item)) tell(wrongType('item', 'an object'))
}

/** In the vendor's words (contract §2.3). */
function noDictionary({ number, source, start, end }: Line): FaultText {
  // Three characters of up to four bytes.
  const [first = '', second = '', third = ''] = source.toString(
    'utf8',
    start,
    Math.min(end, start + 12),
  )
  return lineFault(
    'invalid_json_line',
    'Expected file to have JSONL format, where every line is a JSON dictionary. ' +
      `Line ${number} is not a dictionary (HINT: line starts with: "${first}${second}${third}...").`,
    'a JSON object',
  )
}

/** In the vendor's words (contract §2.9). */
function noJson({ source, start }: Line): FaultText {
  const message =
    source[start] === 0x7b
      ? 'This line is not parseable as valid JSON.'
      : 'This line is not parseable as a valid JSON object.'
  return lineFault('invalid_json_line', message, 'a JSON object')
}

function tooManyRequests(most: number): FaultText {
  const expected = `at most ${most} requests`
  return lineFault('too_many_requests', `A batch has ${expected}.`, expected)
}

function lineFault(code: string, message: string, expected: string): FaultText {
  return { code, message, param: null, expected }
}

const noBatch = lineFault(
  'invalid_json_line',
  'Invalid file format for Batch API. Must be .jsonl',
  'a JSON object',
)
const emptyLine = lineFault(
  'empty_line',
  'This line is empty, and others come behind it.',
  'a JSON object',
)
const noLines = lineFault('empty_file', 'The file has no line.', 'lines of JSON objects')
const noText = lineFault('invalid_utf8', 'This line is not valid UTF-8.', 'UTF-8')
const tooLong = lineFault(
  'line_too_long',
  `This line has more than ${mostLineBytes} bytes.`,
  `at most ${mostLineBytes} bytes`,
)
const tooManyMembers = lineFault(
  'line_too_complex',
  `This line has more than ${mostMembers} names, objects and arrays.`,
  `at most ${mostMembers} names, objects and arrays`,
)
