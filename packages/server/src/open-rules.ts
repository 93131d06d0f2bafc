/** Makes the content rules that the configuration asks for. */

import type { Config } from './config.ts'
import { type ContentRules, createContentRules } from './content-rules/content-rules.ts'
import { createLineChecks } from './content-rules/line-checks.ts'
import { createTexts } from './content-rules/texts.ts'

export interface OpenRules extends AsyncDisposable {
  /** What uploads are held against. */
  readonly rules: ContentRules
  /** What checks without an upload are held against: without rules they would tell nothing. */
  readonly trialRules: ContentRules
  /** Ends the reading of texts, for requests that nobody waits for. */
  giveUp(): Promise<void>
}

export interface RulesConfig
  extends Pick<
    Config,
    'profile' | 'contentRules' | 'maxFileTokens' | 'maxBatchBytes' | 'maxBatchLines'
  > {
  /** How long the text of one file may take to be read, in seconds; 30 by default. */
  readonly textSeconds?: number
}

/** Disposing of them ends their threads, which must have nothing left to do. */
export function openRules(config: RulesConfig): OpenRules {
  const { profile, contentRules, maxFileTokens, maxBatchBytes, maxBatchLines, textSeconds } = config
  const lineChecks = createLineChecks()
  const texts = createTexts({
    mostMilliseconds: textSeconds && textSeconds * 1000,
  })
  const limits = { maxFileTokens, maxBatchBytes, maxBatchLines }
  const settings = { level: contentRules, takesBareNames: profile === 'open', ...limits }
  const rules = createContentRules(settings, { lineChecks, texts })
  const isOff = contentRules === 'off'
  return {
    rules,
    trialRules: isOff
      ? createContentRules({ ...settings, level: 'full' }, { lineChecks, texts })
      : rules,
    giveUp: texts.close,
    async [Symbol.asyncDispose]() {
      await Promise.all([texts.close(), lineChecks.close()])
    },
  }
}
