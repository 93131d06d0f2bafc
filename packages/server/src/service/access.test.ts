import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { openSqliteStore } from '../metadata/sqlite.ts'
import { type Caller, type Credentials, createAccess, digestApiKey, maskApiKey } from './access.ts'

const owner = { organization_id: 'org-1', project_id: 'proj_1' }
const now = 1_700_000_000
const key = 'sk-coffer-0123456789abcdef'

describe('a caller', () => {
  let metadata: MetadataStore

  beforeAll(async () => {
    metadata = await openSqliteStore(':memory:')
    await metadata.ensureOwner({ ...owner, now })
    await metadata.setApiKey({ ...owner, id: 'key_1', name: 'Key', digest: digestApiKey(key), now })
  })
  afterAll(() => metadata.close())

  function authenticate({ apiKey, organization, project }: Partial<Credentials>): Promise<Caller> {
    return createAccess({ metadata }).authenticate({ apiKey, organization, project })
  }

  it('is the owner of the key that it sends', async () => {
    expect(await authenticate({ apiKey: key })).toEqual(owner)
  })

  it('may name the organization and the project that it belongs to', async () => {
    const named = { apiKey: key, organization: 'org-1', project: 'proj_1' }
    expect(await authenticate(named)).toEqual(owner)
  })

  it.each<[string, Partial<Credentials>, string]>([
    ['no key', {}, 'api_key_missing'],
    ['no key and its organization', { organization: 'org-1' }, 'api_key_missing'],
    ['an unknown key', { apiKey: 'sk-coffer-unknown' }, 'api_key_invalid'],
    ['an empty key', { apiKey: '' }, 'api_key_invalid'],
    ['the start of its key', { apiKey: key.slice(0, -1) }, 'api_key_invalid'],
    ['its key in other case', { apiKey: key.toUpperCase() }, 'api_key_invalid'],
    ['its key with a blank', { apiKey: `${key} ` }, 'api_key_invalid'],
    ['the digest of its key', { apiKey: digestApiKey(key) }, 'api_key_invalid'],
    ['another organization', { apiKey: key, organization: 'org-2' }, 'organization_mismatched'],
    ['an empty organization', { apiKey: key, organization: '' }, 'organization_mismatched'],
    ['another project', { apiKey: key, project: 'proj_2' }, 'project_mismatched'],
    [
      'a wrong key and another organization',
      { apiKey: 'sk-wrong', organization: 'org-2' },
      'api_key_invalid',
    ],
  ])('is refused that sends %s', async (_, credentials, code) => {
    const authentication = authenticate(credentials)
    await expect(authentication).rejects.toMatchObject({ name: 'ServiceError', code })
  })

  it('is told its wrong key with all but the ends covered', async () => {
    const authentication = authenticate({ apiKey: 'sk-coffer-not-a-key-of-ours' })
    await expect(authentication).rejects.toThrow(
      'Incorrect API key provided: sk-coffe***************ours.',
    )
  })
})

describe('the mask of a key', () => {
  it.each([
    ['', ''],
    ['a', '*'],
    ['a'.repeat(15), '*'.repeat(15)],
    ['0123456789abcdef', '01234567****cdef'],
    [`01234567${'x'.repeat(1000)}cdef`, `01234567${'*'.repeat(32)}cdef`],
  ])('of %j is %j', (whole, masked) => {
    expect(maskApiKey(whole)).toBe(masked)
  })

  it('never shows more than twelve characters of it', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 100 }), (whole) => {
        expect(maskApiKey(whole).replaceAll('*', '').length).toBeLessThanOrEqual(12)
      }),
    )
  })
})

describe('the digest of a key', () => {
  it('is its SHA-256 in hexadecimal', () => {
    expect(digestApiKey(key)).toBe(createHash('sha256').update(key).digest('hex'))
    expect(digestApiKey('')).toMatch(/^e3b0c44298fc1c14/)
  })
})
