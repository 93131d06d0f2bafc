import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { BlobError } from '../blobs/blob-error.ts'
import type { DiskReader } from '../blobs/disk-reader.ts'
import { findDamage } from './find-damage.ts'

const content = Buffer.from('content')
const file = {
  sha256: createHash('sha256').update(content).digest('hex'),
  segments: [{ blob_id: 'ab', bytes: content.length, checksums: new Uint8Array() }],
}

/** Bytes of which the reading ends with an error, if one is given. */
function bytesThat(error?: Error): DiskReader {
  return {
    size: async () => content.length,
    async *read() {
      if (error !== undefined) throw error
      yield content
    },
    findSmall: () => undefined,
    list: async () => [],
    readMark: async () => undefined,
    [Symbol.dispose]() {},
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code, syscall: 'read', errno: -1 })
}

describe('findDamage', () => {
  it('finds none in what is as it was stored', async () => {
    expect(await findDamage(bytesThat(), file)).toBeUndefined()
  })

  it.each([
    ['what the disk cannot read', systemError('EIO'), 'the disk cannot read it: EIO'],
    ['what is not there', new BlobError('not-found', 'Gone.'), 'its bytes are missing'],
    ['what is too short', new BlobError('damaged', 'It ends.'), 'It ends'],
  ])('takes for damage %s', async (_, error, what) => {
    expect(await findDamage(bytesThat(error), file)).toEqual({ what, blob: 'ab' })
  })

  it.each(['EACCES', 'EPERM', 'EMFILE', 'ESTALE'])('takes %s for no damage', async (code) => {
    await expect(findDamage(bytesThat(systemError(code)), file)).rejects.toThrow(code)
  })
})
