import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { nameOfPair, readStorePair, StorePairError } from './store-pair.ts'

describe('a pair of stores', () => {
  it('is a data folder, laid out as a server does', () => {
    for (const folder of ['data', './data', '/srv/a,b', 'data,old']) {
      expect(readStorePair(folder), folder).toEqual({
        metadata: { driver: 'sqlite', path: resolve(folder, 'coffer.db') },
        blobs: { driver: 'disk', folder: resolve(folder, 'blobs') },
      })
    }
  })

  it('is two URLs with a comma between, whatever commas they have', () => {
    expect(readStorePair('postgres://a,b:5433/coffer,s3://bucket/x,y/?region=r')).toEqual({
      metadata: { driver: 'postgres', url: 'postgres://a,b:5433/coffer' },
      blobs: {
        ...{ driver: 's3', bucket: 'bucket', prefix: 'x,y/', region: 'r' },
        ...{ endpoint: undefined, pathStyle: false },
      },
    })
    expect(readStorePair('sqlite:a.db,file:/b,c')).toEqual({
      metadata: { driver: 'sqlite', path: resolve('a.db') },
      blobs: { driver: 'disk', folder: '/b,c' },
    })
  })

  it('has its URLs in files where these are named', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'coffer-test-'))
    const [rows, bytes] = [join(folder.path, 'rows'), join(folder.path, 'bytes')]
    await writeFile(rows, 'postgres://u:secret@db/coffer?sslmode=require\n')
    await writeFile(bytes, 's3://bucket/\n')
    const pair = readStorePair(`@${rows},@${bytes}`)
    expect(pair.metadata).toEqual({
      driver: 'postgres',
      url: 'postgres://u:secret@db/coffer?sslmode=require',
    })
    expect(nameOfPair(pair)).toBe('postgres://db/coffer and s3://bucket/')
    expect(nameOfPair(readStorePair('/srv'))).toBe('/srv/coffer.db and /srv/blobs')
  })

  it.each([
    '',
    'sqlite:a.db',
    '@rows',
    's3://b/',
    'a,memory:',
    'sqlite:a.db,s3://u:secret@b/',
    'x,file:',
  ])('is not %j', (text) => {
    expect(() => readStorePair(text)).toThrow(StorePairError)
    expect(() => readStorePair(text)).not.toThrow(/secret/)
  })
})
