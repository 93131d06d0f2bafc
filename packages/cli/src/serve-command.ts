/** `coffer serve`: runs the server until it is told to stop. */

import {
  type Config,
  ConfigError,
  readConfig,
  type Server,
  type SettingName,
  serve,
  settings,
} from '@coffer/server'
import { type Command, Option } from 'commander'
import { pino } from 'pino'
import { Failure, type Io } from './program.ts'

const names = Object.keys(settings) as SettingName[]

/** A flag for each setting that is no secret: a flag shows in the list of processes. */
const flags = names
  .filter((name) => !('secret' in settings[name]))
  .map((name) => {
    const { description, standard } = settings[name]
    const long = name
      .replace(/^COFFER_/, '')
      .toLowerCase()
      .replaceAll('_', '-')
    const notes = [`env: ${name}`, ...(standard === undefined ? [] : [`default: ${standard}`])]
    return { name, option: new Option(`--${long} <value>`, `${description} (${notes.join(', ')})`) }
  })

const secrets = names
  .filter((name) => 'secret' in settings[name])
  .map((name) => `  ${name}, or a file that ${name}_FILE names: ${settings[name].description}`)

export function addServeCommand(program: Command, io: Io): void {
  const command = program
    .command('serve')
    .description('Serve files, by default from SQLite and a disk folder in ./coffer-data.')
    .addHelpText('after', `\nSecrets, only from the environment:\n${secrets.join('\n')}`)
    .action((given: Record<string, string>) => serveUntilStopped(given, io))
  for (const { option } of flags) command.addOption(option)
}

async function serveUntilStopped(given: Record<string, string>, io: Io): Promise<void> {
  const config = toConfig(given, io)
  const logger = pino({ level: config.logLevel }, io.stderr)
  const server = await serve(config, { logger }).catch((cause: unknown) => {
    throw cause instanceof Error ? new Failure(`Cannot start: ${cause.message}`, { cause }) : cause
  })
  using signals = watchSignals(io)
  announce(server, io)
  await signals.first
  await server.stop(signals.second)
}

/** Flags come before the environment. */
function toConfig(given: Record<string, string>, io: Io): Config {
  const env = { ...io.env }
  for (const { name, option } of flags) {
    const value = given[option.attributeName()]
    if (value !== undefined) env[name] = value
  }
  try {
    return readConfig(env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new Failure(`These settings cannot be used:\n${error.message}`, { cause: error })
  }
}

/** Scripts wait for the first line; a person pastes the two that begin with `export`. */
function announce({ url, firstKey }: Server, { stdout }: Io): void {
  const key =
    firstKey === undefined
      ? ''
      : 'Its first API key is shown only now. To use it from any OpenAI SDK:\n\n' +
        `  export OPENAI_BASE_URL=${url}/v1\n` +
        `  export OPENAI_API_KEY=${firstKey}\n\n`
  stdout.write(`Coffer is listening on ${url}\n${key}`)
}

/**
 * Ctrl-C reaches npm and the program that npm started, and npm passes it on: one wish, two signals
 * within milliseconds.
 */
const echoMilliseconds = 100

interface Signals extends Disposable {
  /** Resolves at the first signal, which asks to stop. */
  readonly first: Promise<void>
  /** Aborts at the second that is no echo of it, which asks to stop at once. */
  readonly second: AbortSignal
}

function watchSignals(io: Io): Signals {
  const first = Promise.withResolvers<void>()
  const second = new AbortController()
  let firstAt: number | undefined
  const onSignal = () => {
    const now = performance.now()
    firstAt ??= now
    first.resolve()
    if (now - firstAt > echoMilliseconds) second.abort()
  }
  io.on('SIGINT', onSignal)
  io.on('SIGTERM', onSignal)
  return {
    first: first.promise,
    second: second.signal,
    [Symbol.dispose]() {
      io.off('SIGINT', onSignal)
      io.off('SIGTERM', onSignal)
    },
  }
}
