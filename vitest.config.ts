import { defineConfig } from 'vitest/config'

/** The suites that talk by the client: they run with both of the ways in which it sends requests. */
const clientSuites = ['files-api', 'uploads-api', 'retries', 'vendors', 'download-to-file'].map(
  (name) => `packages/client/test/${name}.test.ts`,
)

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
    ],
  },
})
