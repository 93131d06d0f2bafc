import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from './config.ts'

describe('the URL of rows', () => {
  it.each([
    ['sqlite:/data/coffer.db', { driver: 'sqlite', path: '/data/coffer.db' }],
    ['sqlite::memory:', { driver: 'sqlite', path: ':memory:' }],
    ['postgres://coffer@db:5432/coffer?sslmode=verify-full', { driver: 'postgres' }],
    ['postgresql://db/coffer', { driver: 'postgres', url: 'postgresql://db/coffer' }],
  ])('%s is understood', (url, metadata) => {
    expect(readConfig({ COFFER_METADATA_URL: url }).metadata).toMatchObject(metadata)
  })

  it.each(['sqlite:', 'mysql://db/coffer', 'postgres:coffer', 'postgres://a b/', 'coffer.db'])(
    '%s is refused with what is expected',
    (url) => {
      expect(faultsOf({ COFFER_METADATA_URL: url })).toMatch(
        'COFFER_METADATA_URL: expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE',
      )
    },
  )
})

describe('the URL of bytes', () => {
  const s3 = { driver: 's3', prefix: '', region: undefined, endpoint: undefined, pathStyle: false }

  it.each([
    ['file:/data/blobs', { driver: 'disk', folder: '/data/blobs' }],
    ['memory:', { driver: 'memory' }],
    ['s3://files', { ...s3, bucket: 'files' }],
    ['s3://files/', { ...s3, bucket: 'files' }],
    ['s3://files?region=eu-central-1', { ...s3, bucket: 'files', region: 'eu-central-1' }],
    ['s3://files/coffer', { ...s3, bucket: 'files', prefix: 'coffer/' }],
    ['s3://files/a/b%20c/', { ...s3, bucket: 'files', prefix: 'a/b c/' }],
    [
      's3://files?endpoint=http://127.0.0.1:8333&pathStyle=true',
      { ...s3, bucket: 'files', endpoint: 'http://127.0.0.1:8333', pathStyle: true },
    ],
  ])('%s is understood', (url, blobs) => {
    expect(readConfig({ COFFER_BLOBS_URL: url }).blobs).toEqual(blobs)
  })

  it.each([
    ['file:', 'expected file:FOLDER or s3://BUCKET'],
    ['gs://files', 'expected file:FOLDER or s3://BUCKET'],
    ['s3://', 'expected s3://BUCKET'],
    ['s3:///files', 'expected s3://BUCKET'],
    ['s3://files?endpoint=localhost:8333', 'expected endpoint=http://… or https://…'],
    ['s3://files?pathStyle=yes', 'expected pathStyle=true or false'],
    ['s3://files?region=', 'expected region=NAME'],
    ['s3://files?acl=public', 'Unrecognized key: "acl"'],
    ['s3://files/%zz', 'expected s3://BUCKET'],
    ['s3://key:secret@files', 'credentials do not stand in the URL'],
  ])('%s is refused with what is expected', (url, fault) => {
    expect(faultsOf({ COFFER_BLOBS_URL: url })).toContain(`COFFER_BLOBS_URL: ${fault}`)
  })
})

describe('redirected downloads', () => {
  it('need bytes in S3 and the open profile', () => {
    const redirect = { COFFER_DOWNLOADS: 'redirect' }
    expect(readConfig({ ...redirect, COFFER_BLOBS_URL: 's3://files' }).downloads).toBe('redirect')
    expect(faultsOf(redirect)).toContain('redirect needs bytes in S3')
    expect(
      faultsOf({ ...redirect, COFFER_BLOBS_URL: 's3://files', COFFER_PROFILE: 'openai' }),
    ).toContain('redirect needs COFFER_PROFILE=open')
  })
})

function faultsOf(env: Record<string, string>): string {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('The configuration is taken.')
}
