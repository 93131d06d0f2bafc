import { defineConfig } from 'vitest/config'

/** One file after the other: each takes the disk and both cores for itself. */
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    include: ['test/system/**/*.system.ts'],
    fileParallelism: false,
    testTimeout: 1_800_000,
    hookTimeout: 300_000,
    globalSetup: 'packages/server/test/shared-servers.ts',
  },
})
