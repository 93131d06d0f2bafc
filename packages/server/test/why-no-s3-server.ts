/** Go builds the S3 servers of tests, and is not on every machine. */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * Why suites with an S3 server cannot run here, to be told in their names; undefined if they can.
 *
 * @param isGiven whether the server of TEST_S3_URL will do, if there is one.
 * @throws where they must, which is under CI.
 */
export async function whyNoS3Server({ isGiven = true } = {}): Promise<string | undefined> {
  if (isGiven && process.env['TEST_S3_URL'] !== undefined) return undefined
  try {
    await promisify(execFile)('go', ['version'])
    return undefined
  } catch (error) {
    if (process.env['CI'] !== undefined) throw new Error('CI needs Go.', { cause: error })
    return 'skipped: no Go'
  }
}
