/** For tests of what happens to any content, whatever it is. */

import { openRules } from '../src/open-rules.ts'

const limits = { maxFileTokens: 1, maxBatchBytes: 1, maxBatchLines: 1 }

/** Their threads never start. */
export const { rules, trialRules } = openRules({
  ...{ profile: 'open', contentRules: 'off' },
  ...limits,
})
