/** The import arrows of ARCHITECTURE.md: one that is not drawn there fails `npm run check`. */

import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Lints, under the project's rules, a file at `path` that imports `specifier`; gives the report. */
async function lint(path: string, specifier: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-lint-'))
  try {
    await copyFile(join(root, 'biome.json'), join(folder, 'biome.json'))
    await mkdir(join(folder, dirname(path)), { recursive: true })
    await writeFile(join(folder, path), `export { thing } from '${specifier}'\n`)
    const { stdout, stderr } = spawnSync(
      join(root, 'node_modules/.bin/biome'),
      ['lint', '--vcs-enabled=false', '--only=style/noRestrictedImports', '.'],
      { cwd: folder, encoding: 'utf8' },
    )
    return stdout + stderr
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const forbidden = [
  ['packages/contract/src/file.ts', '@coffer/server'],
  ['packages/contract/src/file.ts', 'node:fs'],
  ['packages/server/src/blobs/disk.ts', '../metadata/files.ts'],
  ['packages/server/src/blobs/disk.ts', '../service/files.ts'],
  ['packages/server/src/metadata/files.ts', '../blobs/blob-store.ts'],
  ['packages/server/src/metadata/files.ts', '@coffer/contract'],
  ['packages/server/src/sqlite/writer.ts', '../metadata/sqlite-operations.ts'],
  ['packages/server/src/content-rules/text-encoding.ts', '../http/app.ts'],
  ['packages/server/src/service/files.ts', '../http/app.ts'],
  ['packages/server/src/service/files.ts', '../config.ts'],
  ['packages/server/src/service/files.ts', '../blobs/disk.ts'],
  ['packages/server/src/service/files.ts', '../blobs/small-blobs.ts'],
  ['packages/server/src/service/files.ts', '../metadata/sqlite.ts'],
  ['packages/server/src/service/files.ts', '../sqlite/writer.ts'],
  ['packages/server/src/service/files.ts', 'fastify'],
  ['packages/server/src/http/app.ts', '../metadata/metadata-store.ts'],
  ['packages/server/src/http/app.ts', '../blobs/disk.ts'],
  ['packages/server/src/http/app.ts', '../serve.ts'],
  ['packages/server/src/http/app.ts', '../tools/fsck.ts'],
  ['packages/server/src/service/files.ts', '../tools/fsck.ts'],
  ['packages/server/src/tools/fsck.ts', '@coffer/client'],
  ['packages/server/src/serve.ts', '@coffer/client'],
  ['packages/client/src/files-api.ts', '@coffer/server'],
  ['packages/client/src/files-api.ts', 'zod'],
  ['packages/cli/src/run.ts', '@coffer/contract'],
] as const

const allowed = [
  ['packages/contract/src/file.ts', 'zod'],
  ['packages/server/src/metadata/sqlite.ts', '../sqlite/writer.ts'],
  ['packages/server/src/blobs/small-blobs.ts', '../sqlite/writer.ts'],
  ['packages/server/src/service/files.ts', '../metadata/metadata-store.ts'],
  ['packages/server/src/service/files.ts', '@coffer/contract'],
  ['packages/server/src/http/app.ts', '../service/service.ts'],
  ['packages/server/src/open-stores.ts', './blobs/disk.ts'],
  ['packages/server/src/tools/inspect.ts', '../blobs/disk-reader.ts'],
  ['packages/client/src/files-api.ts', '@coffer/contract'],
  ['packages/cli/src/run.ts', '@coffer/client'],
  ['packages/cli/src/run.ts', '@coffer/server'],
] as const

describe('an import', () => {
  it.each(forbidden)('from %s of %s is refused', async (path, specifier) => {
    expect(await lint(path, specifier)).toContain('ARCHITECTURE.md, the house')
  })

  it.each(allowed)('from %s of %s is allowed', async (path, specifier) => {
    const report = await lint(path, specifier)
    expect(report).toContain('No fixes applied')
    expect(report).not.toContain('noRestrictedImports')
  })
})
