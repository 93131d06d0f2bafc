/**
 * `npm run test:system`: what needs root, Debian packages and minutes. With `-- --long`, the counts
 * of a release; other arguments are vitest's, such as a part of a file's name.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const args = process.argv.slice(2)
const isLong = args.includes('--long')
const { status } = spawnSync(
  'vitest',
  ['run', '--config', 'vitest.system.config.ts', ...args.filter((arg) => arg !== '--long')],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, COFFER_TEST_LENGTH: isLong ? 'long' : 'short' },
  },
)
process.exitCode = status ?? 1
