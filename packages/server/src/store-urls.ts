/** The URLs that name stores: what a configuration says of where files are kept. */

import { z } from 'zod'

/** Where rows are kept. */
export const MetadataUrl = z.string().transform((text, context) => {
  if (text.startsWith('sqlite:') && text.length > 'sqlite:'.length) {
    return { driver: 'sqlite' as const, path: text.slice('sqlite:'.length) }
  }
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) {
    return { driver: 'postgres' as const, url: text }
  }
  return refuse(context, 'expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE')
})

/** Where bytes are kept. */
export const BlobsUrl = z.string().transform((text, context) => {
  if (text === 'memory:') return { driver: 'memory' as const }
  if (text.startsWith('file:') && text.length > 'file:'.length) {
    return { driver: 'disk' as const, folder: text.slice('file:'.length) }
  }
  if (text.startsWith('s3://')) return readS3Url(text, context)
  return refuse(context, 'expected file:FOLDER or s3://BUCKET/PREFIX?region=…')
})

const S3Parameters = z.strictObject({
  region: z.string().min(1, 'expected region=NAME').optional(),
  endpoint: z
    .url({ protocol: /^https?$/, error: 'expected endpoint=http://… or https://…' })
    .optional(),
  pathStyle: z.enum(['true', 'false'], 'expected pathStyle=true or false').optional(),
})

function readS3Url(text: string, context: z.RefinementCtx) {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const folder = readFolder(url?.pathname ?? '')
  if (url === undefined || url.host === '' || folder === undefined) {
    return refuse(context, 'expected s3://BUCKET/PREFIX?region=…')
  }
  if (url.username !== '' || url.password !== '') {
    return refuse(
      context,
      'credentials do not stand in the URL: the AWS SDK finds them, as in AWS_ACCESS_KEY_ID',
    )
  }
  const parameters = S3Parameters.safeParse(Object.fromEntries(url.searchParams))
  if (!parameters.success) {
    return refuse(context, parameters.error.issues.map(({ message }) => message).join('; '))
  }
  const { region, endpoint, pathStyle } = parameters.data
  return {
    driver: 's3' as const,
    bucket: url.host,
    prefix: folder === '' ? '' : `${folder}/`,
    region,
    endpoint,
    pathStyle: pathStyle === 'true',
  }
}

/** Without slashes at its ends; undefined where it cannot be decoded. */
function readFolder(pathname: string): string | undefined {
  try {
    return decodeURIComponent(pathname).replace(/^\/+|\/+$/g, '')
  } catch {
    return undefined
  }
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
