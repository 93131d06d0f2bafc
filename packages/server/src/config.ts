/** Every setting of the server, and how the environment becomes one frozen `Config`. */

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { limits } from '@coffer/contract'
import { z } from 'zod'
import { BlobsUrl, MetadataUrl } from './store-urls.ts'

const bytes = z.coerce.number().pipe(z.int('expected a whole number of bytes').min(1))
const count = z.coerce.number().pipe(z.int('expected a whole number').min(1))
const seconds = z.coerce.number().pipe(z.int('expected a whole number of seconds').min(1))

const Listen = z.string().transform((text, context) => {
  const [, bracketed, plain, port = ''] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || host === '' || Number(port) > 65_535) {
    context.addIssue({ code: 'custom', message: 'expected HOST:PORT, as in 127.0.0.1:3453' })
    return z.NEVER
  }
  return { host, port: Number(port) }
})

interface Setting {
  readonly schema: z.ZodType
  /** What the setting does, with its unit, as a sentence for `--help` and the documentation. */
  readonly description: string
  /** As it would be written in the environment; `undefined` where nothing is the default. */
  readonly standard: string | undefined
  /** Whether the value is a secret: never shown, not a flag, and readable from NAME_FILE. */
  readonly secret?: true
  /** Whether the value may stand in a file, which NAME_FILE names, too. Secrets may always. */
  readonly mayBeInFile?: true
}

/** By environment name. `--max-file-bytes` is the flag of COFFER_MAX_FILE_BYTES, and so on. */
export const settings = {
  COFFER_LISTEN: {
    schema: Listen,
    description: 'Where to serve, as HOST:PORT. Port 0 takes a free one.',
    standard: '127.0.0.1:3453',
  },
  COFFER_DATA: {
    schema: z.string().min(1, 'expected a folder'),
    description: 'The folder that holds everything, made if it is missing.',
    standard: './coffer-data',
  },
  COFFER_METADATA_URL: {
    schema: MetadataUrl,
    description:
      'Where rows are kept: sqlite:PATH, by default coffer.db in the data folder, or ' +
      'postgres://USER@HOST:PORT/DATABASE, with sslmode as libpq has it.',
    standard: undefined,
    mayBeInFile: true,
  },
  COFFER_BLOBS_URL: {
    schema: BlobsUrl,
    description:
      'Where bytes are kept: file:FOLDER, by default blobs in the data folder, or ' +
      's3://BUCKET/PREFIX?region=…&endpoint=…&pathStyle=true, with the credentials that the AWS SDK finds.',
    standard: undefined,
    mayBeInFile: true,
  },
  COFFER_METADATA_CONNECTIONS: {
    schema: count,
    description:
      'The most connections to PostgreSQL for reads; each server has one more, for writes.',
    standard: '10',
  },
  COFFER_API_KEY: {
    schema: z.string().min(1, 'expected a key').trim(),
    description:
      'An API key that works from the start, in place of the one printed at the first start. ' +
      'All former keys stop working.',
    standard: undefined,
    secret: true,
  },
  COFFER_PROFILE: {
    schema: z.enum(['open', 'openai']),
    description:
      'open: the owner may download every file, and training files may have no extension. ' +
      "openai: the vendor's refusals too.",
    standard: 'open',
  },
  COFFER_DOWNLOADS: {
    schema: z.enum(['stream', 'redirect']),
    description:
      'stream: content comes through the server, which checks it. redirect: clients are sent to S3 ' +
      'for whole files, by a link that works for five minutes; they must be able to reach it.',
    standard: 'stream',
  },
  COFFER_READ_ONLY: {
    schema: z
      .enum(['true', 'false'], 'expected true or false')
      .transform((text) => text === 'true'),
    description:
      'true: nothing is stored, deleted or swept, as for the last run of coffer migrate. Such requests ' +
      'are answered with 503.',
    standard: 'false',
  },
  COFFER_CONTENT_RULES: {
    schema: z.enum(['strict', 'full', 'openai', 'off']),
    description:
      'What is asked of content. full: all that its use would stumble on later. strict: also that ' +
      "shapes of training lines and batches' endpoints are known. openai: what the vendor refuses " +
      'at the upload. off: nothing.',
    standard: 'full',
  },
  COFFER_MAX_FILE_BYTES: {
    schema: bytes,
    description: 'The size of one file, in bytes.',
    standard: String(limits.fileBytes),
  },
  COFFER_MAX_FILE_TOKENS: {
    schema: count,
    description: 'The tokens of one file for assistants, in the encoding o200k_base.',
    standard: String(limits.fileTokens),
  },
  COFFER_MAX_BATCH_BYTES: {
    schema: bytes,
    description: 'The size of one file for a batch, in bytes.',
    standard: String(limits.batchBytes),
  },
  COFFER_MAX_BATCH_LINES: {
    schema: count,
    description: 'The requests in one file for a batch.',
    standard: String(limits.batchLines),
  },
  COFFER_MAX_UPLOAD_BYTES: {
    schema: bytes,
    description: 'The size of one Upload, whose content comes in parts, in bytes.',
    standard: String(limits.uploadBytes),
  },
  COFFER_MAX_PART_BYTES: {
    schema: bytes,
    description: 'The size of one part of an Upload, in bytes.',
    standard: String(limits.partBytes),
  },
  COFFER_UPLOAD_SECONDS: {
    schema: seconds,
    description: 'Seconds from the creation of an Upload until it expires with its parts.',
    standard: String(limits.uploadSeconds),
  },
  COFFER_ORGANIZATION_QUOTA_BYTES: {
    schema: bytes,
    description: 'The size of all files of one organization, and of its pending Uploads, in bytes.',
    standard: String(limits.organizationBytes),
  },
  COFFER_IDLE_SECONDS: {
    schema: seconds,
    description: 'Seconds without a byte in either direction after which a connection is closed.',
    standard: '60',
  },
  COFFER_SWEEP_SECONDS: {
    schema: seconds,
    description: 'Seconds between two sweeps of expired files and of bytes that no file holds.',
    standard: '60',
  },
  COFFER_STOP_SECONDS: {
    schema: seconds,
    description: 'Seconds that requests have to end after the first signal to stop.',
    standard: '30',
  },
  COFFER_LOG_LEVEL: {
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']),
    description: 'The least level that is logged, as lines of JSON on standard error.',
    standard: 'info',
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof settings
type Value<Name extends SettingName> = z.infer<(typeof settings)[Name]['schema']>

export interface Config {
  readonly listen: Value<'COFFER_LISTEN'>
  readonly dataFolder: string
  readonly metadata: Value<'COFFER_METADATA_URL'>
  readonly blobs: Value<'COFFER_BLOBS_URL'>
  readonly metadataConnections: number
  readonly apiKey: string | undefined
  readonly profile: Value<'COFFER_PROFILE'>
  readonly downloads: Value<'COFFER_DOWNLOADS'>
  readonly readOnly: boolean
  readonly contentRules: Value<'COFFER_CONTENT_RULES'>
  readonly maxFileBytes: number
  readonly maxFileTokens: number
  readonly maxBatchBytes: number
  readonly maxBatchLines: number
  readonly maxUploadBytes: number
  readonly maxPartBytes: number
  readonly uploadSeconds: number
  readonly organizationQuotaBytes: number
  readonly idleSeconds: number
  readonly sweepSeconds: number
  readonly stopSeconds: number
  readonly logLevel: Value<'COFFER_LOG_LEVEL'>
}

/** All that is wrong with a configuration, a line for each setting. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * @param env as `process.env`; an empty value counts as absent.
 * @throws ConfigError that names every faulty setting.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = []

  function read<Name extends SettingName>(name: Name): Value<Name> | undefined {
    try {
      const { schema, standard }: Setting = settings[name]
      const text = readText(env, name) ?? standard
      return text === undefined ? undefined : (schema.parse(text) as Value<Name>)
    } catch (error) {
      faults.push(`${name}: ${explain(error)}`)
      return undefined
    }
  }

  const dataFolder = resolve(read('COFFER_DATA') ?? '.')
  const values = {
    listen: read('COFFER_LISTEN'),
    dataFolder,
    metadata: read('COFFER_METADATA_URL') ?? {
      driver: 'sqlite' as const,
      path: join(dataFolder, 'coffer.db'),
    },
    blobs: read('COFFER_BLOBS_URL') ?? {
      driver: 'disk' as const,
      folder: join(dataFolder, 'blobs'),
    },
    metadataConnections: read('COFFER_METADATA_CONNECTIONS'),
    apiKey: read('COFFER_API_KEY'),
    profile: read('COFFER_PROFILE'),
    downloads: read('COFFER_DOWNLOADS'),
    readOnly: read('COFFER_READ_ONLY'),
    contentRules: read('COFFER_CONTENT_RULES'),
    maxFileBytes: read('COFFER_MAX_FILE_BYTES'),
    maxFileTokens: read('COFFER_MAX_FILE_TOKENS'),
    maxBatchBytes: read('COFFER_MAX_BATCH_BYTES'),
    maxBatchLines: read('COFFER_MAX_BATCH_LINES'),
    maxUploadBytes: read('COFFER_MAX_UPLOAD_BYTES'),
    maxPartBytes: read('COFFER_MAX_PART_BYTES'),
    uploadSeconds: read('COFFER_UPLOAD_SECONDS'),
    organizationQuotaBytes: read('COFFER_ORGANIZATION_QUOTA_BYTES'),
    idleSeconds: read('COFFER_IDLE_SECONDS'),
    sweepSeconds: read('COFFER_SWEEP_SECONDS'),
    stopSeconds: read('COFFER_STOP_SECONDS'),
    logLevel: read('COFFER_LOG_LEVEL'),
  }
  if (values.downloads === 'redirect') {
    if (values.blobs.driver !== 's3') faults.push('COFFER_DOWNLOADS: redirect needs bytes in S3')
    if (values.profile !== 'open') {
      faults.push(
        'COFFER_DOWNLOADS: redirect needs COFFER_PROFILE=open, as the vendor does not redirect',
      )
    }
  }
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  // Without a fault, every setting that has a default has a value.
  return Object.freeze(values as Config)
}

/** A secret, or what may hold one, may stand in a file, so that it need not be in the environment. */
function readText(
  env: Readonly<Record<string, string | undefined>>,
  name: SettingName,
): string | undefined {
  const setting: Setting = settings[name]
  const file = setting.secret || setting.mayBeInFile ? env[`${name}_FILE`] : undefined
  const text = env[name] || undefined
  if (file === undefined || file === '') return text
  if (text !== undefined) throw new Error(`set either ${name} or ${name}_FILE, not both`)
  return readFileSync(file, 'utf8').trim()
}

function explain(error: unknown): string {
  if (error instanceof z.ZodError) return error.issues.map((issue) => issue.message).join('; ')
  return error instanceof Error ? error.message : String(error)
}
