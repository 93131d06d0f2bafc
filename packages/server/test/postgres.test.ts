import { describeMetadataStore } from '../src/metadata/conformance.ts'
import { openPostgresStore } from '../src/metadata/postgres.ts'
import { makeDatabase } from './test-database.ts'

async function open() {
  const database = await makeDatabase()
  const store = await openPostgresStore({
    url: database.url,
    connections: 4,
    isShared: true,
    warn: (message) => process.stderr.write(message),
  })
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

describeMetadataStore('the PostgreSQL metadata store', open)
