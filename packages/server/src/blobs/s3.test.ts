import { describe } from 'vitest'
import { type S3Server, startS3Server, whyNoS3Server } from '../../test/s3-server.ts'
import { describeBlobStore } from './conformance.ts'
import { openS3Driver } from './s3.ts'

const reason = await whyNoS3Server()

describe.skipIf(reason !== undefined)(reason ?? 'with a server', () => {
  describeBlobStore('blobs in S3', {
    readsOutliveDeletion: false,
    async open() {
      const server = await startS3Server()
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
