/** The options that say which server a command talks to, and the client that they make. */

import { ApiClient, Configuration } from '@coffer/client'
import { httpFetch } from '@coffer/client/node'
import type { Command } from 'commander'
import { printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'

export interface ConnectionOptions {
  readonly url?: string
  readonly key?: string
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('--url <url>', 'the API to talk to, with its version (env: OPENAI_BASE_URL)')
    .option('--key <key>', 'the API key; better in the environment (env: OPENAI_API_KEY)')
}

/** @throws WrongUse if nothing says which server or key. */
export function connect({ url, key }: ConnectionOptions, { env }: Io): ApiClient {
  const host = url ?? env['OPENAI_BASE_URL']
  const accessToken = key ?? env['OPENAI_API_KEY']
  if (host === undefined || host === '') {
    throw new WrongUse('Which server? Set OPENAI_BASE_URL or give --url http://HOST:PORT/v1')
  }
  if (accessToken === undefined || accessToken === '') {
    throw new WrongUse('Which API key? Set OPENAI_API_KEY or give --key')
  }
  if (!/^https?:$/.test(URL.parse(host)?.protocol ?? ''))
    throw new WrongUse(`${printable(host)} is no URL; give one as http://HOST:PORT/v1`)
  return new ApiClient(
    new Configuration({
      host,
      accessToken,
      organization: env['OPENAI_ORG_ID'] || undefined,
      project: env['OPENAI_PROJECT_ID'] || undefined,
      fetch: httpFetch,
    }),
  )
}
