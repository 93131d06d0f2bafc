/** Against a store that knows no conditional writes and no checksums, as some still do not. */

import { describe } from 'vitest'
import { describeBlobStore } from '../src/blobs/conformance.ts'
import { openS3Driver } from '../src/blobs/s3.ts'
import { startS3Server } from './s3-server.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const reason = await whyNoS3Server({ isGiven: false })

describe.skipIf(reason !== undefined)(reason ?? 'SeaweedFS', () => {
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
