import { describeBlobStore } from './conformance.ts'
import { createMemoryDriver } from './memory.ts'

describeBlobStore('blobs in memory', {
  readsOutliveDeletion: true,
  async open() {
    return { driver: createMemoryDriver(), async [Symbol.asyncDispose]() {} }
  },
})
