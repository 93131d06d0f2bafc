/** What a file has to be for its purpose: its name, its size and its content. */

import { readInOrder } from './document-content.ts'
import { badExtension, judgeDocument } from './document-rules.ts'
import { type Fault, ofContent } from './fault.ts'
import { type Faults, noFaults, oneFault } from './fault-list.ts'
import { assistantsType, extensionOf, typeOfName, uploadExtensions } from './file-types.ts'
import { judgeImage } from './image-rules.ts'
import { type JsonLinesPurpose, jsonLinesPurposes, type RuleLevel } from './json-lines-check.ts'
import type { LineCheck, LineChecks } from './line-checks.ts'
import type { TextEncoding } from './text-encoding.ts'
import type { Texts } from './texts.ts'
import type { Opinion, WholeContent } from './whole-content.ts'

export interface RuleSettings {
  readonly level: RuleLevel | 'off'
  /** Whether files may have names without an extension, if their content is as it has to be. */
  readonly takesBareNames: boolean
  readonly maxBatchBytes: number
  readonly maxBatchLines: number
  /** Of o200k_base, in the text of one file for `assistants`. */
  readonly maxFileTokens: number
}

export interface Verdict extends Faults {
  /** Of JSON lines that were looked at. */
  readonly lines: number | undefined
  /** Undefined where they were not counted. */
  readonly tokens: number | undefined
  /** Of a batch: how many requests there are of each model. */
  readonly models: ReadonlyMap<string, number> | undefined
  readonly mimeType: string
}

export interface ContentRules {
  /** What is wrong with a file before its content is known. @param bytes 0 if not known yet. */
  foresee(file: { filename: string; purpose: string; bytes: number }): Fault | undefined
  /** The size from which on `foresee` has a fault. */
  mostBytes(purpose: string | undefined): number
  /** What looks at content as it passes; undefined if no rule is known to ask for it. */
  watch(file: { filename: string; purpose: string | undefined }): LineCheck | undefined
  /** Whether `judge` looks at the content of such a file at all. */
  looksAt(purpose: string): boolean
  /** Reads what was not watched and a rule asks for. @throws what `read` throws. */
  judge(content: WholeContent): Promise<Verdict>
}

export interface RuleWorkers {
  readonly lineChecks: LineChecks
  readonly texts: Texts
}

/** Purposes whose files are lines of JSON, and what the vendor calls their reader. */
const jsonLinesReaders: Readonly<Record<JsonLinesPurpose, string>> = {
  'fine-tune': 'Fine-Tuning API',
  batch: 'Batch API',
  evals: 'Evals API',
}

/** As large as blobs are read in. */
const pieceBytes = 1024 * 1024

export function createContentRules(
  settings: RuleSettings,
  { lineChecks, texts }: RuleWorkers,
): ContentRules {
  const { level, takesBareNames, maxBatchBytes, maxBatchLines, maxFileTokens } = settings
  const isLenient = level === 'openai'

  function foresee(file: { filename: string; purpose: string; bytes: number }): Fault | undefined {
    const { filename, purpose, bytes } = file
    if (level === 'off') return undefined
    if (bytes > mostBytes(purpose)) return tooLargeForBatch(maxBatchBytes)
    const extension = extensionOf(filename)
    if (extension === '' && takesBareNames) return undefined
    if (isJsonLines(purpose)) return isJsonLinesName(extension) ? undefined : notJsonLines(purpose)
    if (purpose === 'assistants') return isKnown(extension) ? undefined : badExtension(extension)
    return undefined
  }

  function mostBytes(purpose: string | undefined): number {
    const isBounded = purpose === 'batch' && level !== 'off' && !isLenient
    return isBounded ? maxBatchBytes : Number.MAX_SAFE_INTEGER
  }

  /** The vendor holds upper case against a name (contract §2.3). */
  function isJsonLinesName(extension: string): boolean {
    return (isLenient ? extension : extension.toLowerCase()) === 'jsonl'
  }

  function isKnown(extension: string): boolean {
    if (isLenient) return uploadExtensions.includes(extension)
    return assistantsType(extension.toLowerCase()) !== undefined
  }

  function looksAt(purpose: string): boolean {
    if (level === 'off') return false
    return isJsonLines(purpose) || (!isLenient && ['assistants', 'vision'].includes(purpose))
  }

  async function look(content: WholeContent): Promise<Opinion> {
    const { purpose } = content
    if (isJsonLines(purpose)) return judgeLines(purpose, content)
    return purpose === 'vision'
      ? judgeImage(content)
      : judgeDocument(content, { maxFileTokens, texts })
  }

  async function judgeLines(purpose: JsonLinesPurpose, content: WholeContent): Promise<Opinion> {
    const reports = await (content.watched ?? (await readLines(purpose, content))).result()
    const report = reports.get(purpose)
    if (report === undefined) throw new Error(`The content was not watched for ${purpose}.`)
    const { lines, models, faults } = report
    return {
      ...{ lines, faults, mimeType: 'application/jsonl' },
      models: purpose === 'batch' ? models : undefined,
      tokens: content.countsTokens ? await countInLines(content) : undefined,
    }
  }

  async function readLines(purpose: JsonLinesPurpose, content: WholeContent): Promise<LineCheck> {
    const check = beginLines([purpose])
    try {
      for await (const piece of readInOrder(content, pieceBytes)) await check.add(piece)
    } catch (error) {
      // The thread forgets it; why it failed is known.
      await check.result().catch(() => undefined)
      throw error
    }
    return check
  }

  function beginLines(purposes: readonly JsonLinesPurpose[]): LineCheck {
    if (level === 'off') throw new Error('There are no rules.')
    return lineChecks.begin({ purposes, level, maxBatchLines })
  }

  /** Of lines tokens are only told, so that it is no fault if there are too many to count. */
  async function countInLines({ bytes, read, asker }: WholeContent): Promise<number | undefined> {
    const maxTokens = Number.MAX_SAFE_INTEGER
    const task = { kind: 'json-lines', bytes, maxTokens, countsAlways: true } as const
    const outcome = await texts.count(task, read, asker)
    return 'failure' in outcome ? undefined : outcome.tokens
  }

  return {
    foresee,
    mostBytes,
    looksAt,

    watch({ filename, purpose }) {
      if (level === 'off') return undefined
      const extension = extensionOf(filename)
      const mayBeLines = isJsonLinesName(extension) || (extension === '' && takesBareNames)
      const purposes = jsonLinesPurposes.filter((one) =>
        purpose === undefined ? mayBeLines : one === purpose,
      )
      return purposes.length === 0 ? undefined : beginLines(purposes)
    },

    async judge(content) {
      const { filename, purpose, encoding } = content
      const foreseen = foresee(content)
      // Of what is not even called right a page of other faults would tell nothing.
      const isWorthIt = foreseen === undefined && looksAt(purpose)
      const opinion: Opinion = isWorthIt ? await look(content) : { faults: noFaults }
      const { lines, tokens, models, mimeType } = opinion
      return {
        ...(foreseen === undefined ? opinion.faults : oneFault(foreseen)),
        ...{ lines, tokens, models },
        mimeType: mimeType ?? typeOfName(filename) ?? plainType(encoding),
      }
    },
  }
}

/** What content is of which nothing but its encoding is known. */
function plainType(encoding: TextEncoding): string {
  return encoding === 'utf-8' ? 'text/plain' : 'application/octet-stream'
}

function isJsonLines(purpose: string): purpose is JsonLinesPurpose {
  return (jsonLinesPurposes as readonly string[]).includes(purpose)
}

/** In the vendor's words (contract §2.3). */
function notJsonLines(purpose: JsonLinesPurpose): Fault {
  const message = `Invalid file format for ${jsonLinesReaders[purpose]}. Must be .jsonl`
  return ofContent('invalid_extension', message, 'a name that ends in .jsonl')
}

/** In the vendor's words, as it refuses the batch itself (contract §2.3). */
function tooLargeForBatch(most: number): Fault {
  const message = `The batch input file is larger than the ${most} maximum. Please try again with a smaller batch.`
  return ofContent('batch_too_large', message, `at most ${most} bytes`)
}
