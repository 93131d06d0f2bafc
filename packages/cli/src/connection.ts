/** The options that say which server a command talks to, and the client that they make. */

import { ApiClient, Configuration } from '@coffer/client'
import { httpFetch } from '@coffer/client/node'
import type { Command } from 'commander'
import { type ConnectionWords, serverWords } from './connection-words.ts'
import { printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'

export interface ConnectionOptions {
  readonly url?: string | undefined
  readonly key?: string | undefined
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('--url <url>', 'the API to talk to, with its version (env: OPENAI_BASE_URL)')
    .option('--key <key>', 'the API key; better in the environment (env: OPENAI_API_KEY)')
}

/** @throws WrongUse if nothing says which server or key. */
export function connect(given: ConnectionOptions, { env }: Io): ApiClient {
  return new ApiClient(
    new Configuration({
      ...readConnection(given, env, serverWords),
      organization: env['OPENAI_ORG_ID'] || undefined,
      project: env['OPENAI_PROJECT_ID'] || undefined,
      fetch: httpFetch,
    }),
  )
}

/** @throws WrongUse if neither options nor environment name a service and a key. */
export function readConnection(
  { url, key }: ConnectionOptions,
  env: Io['env'],
  { which, urlName, urlOption, keyName, keyOption }: ConnectionWords,
): { host: string; accessToken: string } {
  const host = url ?? env[urlName]
  const accessToken = key ?? env[keyName]
  if (host === undefined || host === '') {
    throw new WrongUse(`${which} Set ${urlName} or give ${urlOption} http://HOST:PORT/v1`)
  }
  if (accessToken === undefined || accessToken === '') {
    throw new WrongUse(`Which API key? Set ${keyName} or give ${keyOption}`)
  }
  if (!/^https?:$/.test(URL.parse(host)?.protocol ?? ''))
    throw new WrongUse(`${printable(host)} is no URL; give one as http://HOST:PORT/v1`)
  return { host, accessToken }
}
