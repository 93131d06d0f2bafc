import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { describeCarrying } from '../src/metadata/carry-rows-conformance.ts'
import { openPostgresSource, openPostgresTarget } from '../src/metadata/postgres-ends.ts'
import { openSqliteTarget } from '../src/metadata/sqlite-ends.ts'
import { makeDatabase } from './test-database.ts'

async function makeEnds() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'coffer-test-'))
  const source = openSqliteTarget(join(folder.path, 'source.db'))
  const database = await makeDatabase()
  const target = await openPostgresTarget(database.url, () => {})
  return {
    ...{ source, target, url: database.url },
    async [Symbol.asyncDispose]() {
      await target[Symbol.asyncDispose]()
      await source[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await folder.remove()
    },
  }
}

describeCarrying('PostgreSQL', makeEnds)

describe('PostgreSQL as an end of a migration', () => {
  it('has the tables and columns that SQLite has', async () => {
    await using ends = await makeEnds()
    const sqlite = await sql<{ at: string }>`
      select tables.name || '.' || columns.name as at
      from sqlite_schema as tables join pragma_table_info(tables.name) as columns
      where tables.type = 'table' and tables.name not like 'sqlite%'`.execute(ends.source.db)
    const postgres = await sql<{ at: string }>`
      select table_name || '.' || column_name as at from information_schema.columns
      where table_schema = 'public' and table_name <> 'coffer_schema'`.execute(ends.target.db)
    const names = ({ rows }: typeof sqlite) => rows.map(({ at }) => at).toSorted()
    expect(names(postgres)).toEqual(names(sqlite))
  })

  it('gives the rows of one moment, while others are written', async () => {
    await using ends = await makeEnds()
    await using source = await openPostgresSource(ends.url)
    const count = async (db: typeof source.db) =>
      (await db.selectFrom('servers').select('id').execute()).length
    await source.atOneMoment(async (rows) => {
      expect(await count(rows)).toBe(0)
      await ends.target.db.insertInto('servers').values({ id: 'one', signs: 1 }).execute()
      expect(await count(rows)).toBe(0)
      expect(await count(source.db)).toBe(1)
      await expect(rows.deleteFrom('servers').execute()).rejects.toThrow('read-only')
    })
    expect(await source.atOneMoment(count)).toBe(1)
  })
})
