import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeCarrying } from './carry-rows-conformance.ts'
import { openSqliteTarget } from './sqlite-ends.ts'

describeCarrying('SQLite', async () => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-test-'))
  const source = openSqliteTarget(join(folder.path, 'source.db'))
  const target = openSqliteTarget(join(folder.path, 'target.db'))
  return {
    source,
    target,
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]()
      await target[Symbol.asyncDispose]()
      await folder.remove()
    },
  }
})
