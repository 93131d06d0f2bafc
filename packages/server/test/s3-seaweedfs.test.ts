/** Against a store that knows no conditional writes and no checksums, as some still do not. */

import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { describeBlobStore } from '../src/blobs/conformance.ts'
import { openS3Driver } from '../src/blobs/s3.ts'
import { startS3Server } from './s3-server.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const reason = await whyNoS3Server({ isGiven: false })

describe.skipIf(reason !== undefined)(reason ?? 'SeaweedFS', () => {
  it('takes links, which sign no more than they need', async () => {
    await using server = await startS3Server('seaweedfs')
    const driver = await openS3Driver({ ...(await server.makePlace()), warn() {} })
    await driver.write('aa01', Readable.from([Buffer.from('content')]))
    const about = { contentDisposition: 'attachment', contentType: 'text/plain', seconds: 60 }
    const answer = await fetch((await driver.link?.('aa01', about)) ?? '')
    expect([answer.status, await answer.text()]).toEqual([200, 'content'])
    await driver.close()
  })

  describeBlobStore('blobs in S3 without conditions', {
    readsOutliveDeletion: false,
    async open() {
      const server = await startS3Server('seaweedfs')
      const driver = await openS3Driver({ ...(await server.makePlace()), warn() {} })
      return {
        driver,
        async [Symbol.asyncDispose]() {
          await driver.close()
          await server[Symbol.asyncDispose]()
        },
      }
    },
  })
})
