/** Which store a command for operators works on: what `coffer serve` would serve. */

import type { Places } from '@coffer/server/tools'
import type { Command } from 'commander'
import { Failure, type Io } from './program.ts'

export interface StoreOption {
  readonly data?: string
}

export function addStoreOption(command: Command): Command {
  return command.option(
    '--data <folder>',
    'the data folder (env: COFFER_DATA, COFFER_METADATA_URL, COFFER_BLOBS_URL; ' +
      'default: ./coffer-data)',
  )
}

export async function findStore({ data }: StoreOption, { env }: Io): Promise<Places> {
  const { ConfigError, readConfig } = await import('@coffer/server')
  const { placesOf } = await import('@coffer/server/tools')
  // A fault in any other setting is no reason not to look at the store.
  const { COFFER_DATA, COFFER_METADATA_URL, COFFER_BLOBS_URL } = env
  try {
    const settings = { COFFER_DATA: data ?? COFFER_DATA, COFFER_METADATA_URL, COFFER_BLOBS_URL }
    return placesOf(readConfig(settings))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new Failure(`These settings cannot be used:\n${error.message}`, { cause: error })
  }
}
