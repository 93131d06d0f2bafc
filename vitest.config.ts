import { defineConfig } from 'vitest/config'
import { whyNoS3Server } from './packages/server/test/why-no-s3-server.ts'

/** The suites that talk by the client: they run with both of the ways in which it sends requests. */
const clientSuites = ['files-api', 'uploads-api', 'retries', 'vendors', 'download-to-file'].map(
  (name) => `packages/client/test/${name}.test.ts`,
)

/** The suites that start servers, whatever their stores. */
const suitesOfServers = [
  'packages/server/test/*.test.ts',
  ...['files-api', 'uploads-api', 'download-to-file'].map(
    (name) => `packages/client/test/${name}.test.ts`,
  ),
]
/** Of those, what is about SQLite and a disk, or about the servers of other tests. */
const suitesOfNoServer = ['migrations', 'content-rules-doc', 's3*', 'postgres*', 'guarded-folder']
/** Says that it is skipped, and why. */
const suiteOfStores = 'packages/server/test/postgres-s3-stores.test.ts'
const hasS3 = (await whyNoS3Server()) === undefined

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: 'packages/server/test/shared-servers.ts',
    projects: [
      {
        extends: true,
        test: {
          name: 'on SQLite and a disk',
          include: ['packages/*/{src,test}/**/*.test.ts', 'test/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'by node:http',
          include: clientSuites,
          env: { COFFER_TEST_FETCH: 'http' },
        },
      },
      {
        extends: true,
        test: {
          name: 'on PostgreSQL and S3',
          include: hasS3 ? suitesOfServers : [suiteOfStores],
          exclude: hasS3
            ? suitesOfNoServer.map((name) => `packages/server/test/${name}.test.ts`)
            : [],
          env: { COFFER_TEST_STORES: 'postgres-s3' },
        },
      },
    ],
  },
})
