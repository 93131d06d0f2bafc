/** Makes the rows of one database those of another. */

import { type RawBuilder, sql } from 'kysely'
import { type Carried, type CarriedTable, carriedTables } from './carried-tables.ts'
import { hasManyWriters } from './dialect.ts'
import { recountUsage } from './inspection.ts'
import { isSameRow, pairRows, type Row, walkRows } from './row-walk.ts'
import type { Database } from './tables.ts'

/** Rows of one statement. */
const batchRows = 500

export interface CarryOptions {
  readonly signal: AbortSignal
  /** Told how many rows of how many were held against each other. */
  readonly moved?: ((rows: number, total: number) => void) | undefined
  /** The ids of files and Uploads that are left out, as if they had been deleted. */
  readonly except?: ReadonlySet<string>
}

/**
 * Inserts, changes and deletes what differs, in a transaction that the caller began. It takes little memory, whatever
 * there is. What a row refers to never changes.
 */
export async function carryRows(
  from: Database,
  to: Database,
  options: CarryOptions,
): Promise<void> {
  const { signal, moved, except = new Set<string>() } = options
  // What refers to others goes first and comes last.
  for (const table of carriedTables.toReversed()) await removeVanished(from, to, table, options)
  const total = await countCarried(from)
  let rows = 0
  for (const table of carriedTables) {
    const inserts = createBatch((batch) => insertRows(to, table, batch))
    for await (const pair of pairsOf(from, to, table)) {
      signal.throwIfAborted()
      if (pair.from === undefined || isLeftOut(pair.from, table, except)) continue
      rows += 1
      moved?.(rows, total)
      if (pair.to === undefined) await inserts.add(pair.from)
      else if (!isSameRow(pair.from, pair.to)) await updateRow(to, table, pair.from)
    }
    await inserts.end()
  }
  await raiseSequences(to)
  if (except.size > 0) await recountUsage(to)
}

function isLeftOut(row: Row, { holder }: Carried, except: ReadonlySet<string>): boolean {
  return holder !== undefined && except.has(String(row[holder]))
}

/** What is in one of two databases and not in the other. */
export interface Difference {
  /** Files of the first that the second lacks. */
  readonly came: number
  /** Files of the second that the first lacks. */
  readonly went: number
  /** Whether anything differs at all, be it of a pending Upload. */
  readonly isAny: boolean
}

export async function compareRows(
  from: Database,
  to: Database,
  { signal, moved }: CarryOptions,
): Promise<Difference> {
  const total = await countCarried(from)
  const files = { came: 0, went: 0 }
  let isAny = false
  let rows = 0
  for (const table of carriedTables) {
    for await (const pair of pairsOf(from, to, table)) {
      signal.throwIfAborted()
      rows += 1
      moved?.(Math.min(rows, total), total)
      if (pair.from !== undefined && pair.to !== undefined && isSameRow(pair.from, pair.to))
        continue
      isAny = true
      if (table.name !== 'files') continue
      if (pair.to === undefined) files.came += 1
      if (pair.from === undefined) files.went += 1
    }
  }
  return { ...files, isAny }
}

async function* pairsOf(from: Database, to: Database, table: Carried) {
  const source = hasManyWriters(to) ? withoutNul(walkRows(from, table)) : walkRows(from, table)
  yield* pairRows(source, walkRows(to, table), table.key)
}

/** PostgreSQL keeps no NUL in a text; the media type that a client gives an Upload may have one. */
async function* withoutNul(rows: AsyncGenerator<Row>): AsyncGenerator<Row> {
  for await (const row of rows) {
    const hasNul = (value: unknown) => typeof value === 'string' && value.includes('\0')
    if (!Object.values(row).some(hasNul)) {
      yield row
      continue
    }
    const replace = (value: unknown) =>
      typeof value === 'string' ? value.replaceAll('\0', '\ufffd') : value
    yield Object.fromEntries(Object.entries(row).map(([name, value]) => [name, replace(value)]))
  }
}

async function removeVanished(
  from: Database,
  to: Database,
  table: Carried,
  { signal, except = new Set<string>() }: CarryOptions,
): Promise<void> {
  const { name, key } = table
  const deletes = createBatch(async (rows) => {
    const any = sql.join(
      rows.map((row) => isRow(row, key)),
      sql` or `,
    )
    await sql`delete from ${sql.table(name)} where ${any}`.execute(to)
  })
  // Of a table that is empty, as all are at first, the other is not read.
  const [first] = await Array.fromAsync(take(walkRows(to, table, 'key'), 1))
  if (first === undefined) return
  const pairs = pairRows(walkRows(from, table, 'key'), walkRows(to, table, 'key'), key)
  for await (const pair of pairs) {
    signal.throwIfAborted()
    const isThere = pair.from !== undefined && !isLeftOut(pair.from, table, except)
    if (!isThere && pair.to !== undefined) await deletes.add(pair.to)
  }
  await deletes.end()
}

async function* take<Item>(items: AsyncIterable<Item>, most: number): AsyncGenerator<Item> {
  let count = 0
  for await (const item of items) {
    yield item
    count += 1
    if (count === most) return
  }
}

async function insertRows(
  to: Database,
  { name }: Carried,
  rows: readonly [Row, ...Row[]],
): Promise<void> {
  const columns = Object.keys(rows[0])
  // The numbers of files and parts are theirs already.
  const own = hasManyWriters(to) ? sql`overriding system value` : sql``
  const values = rows.map((row) => sql`(${sql.join(columns.map((column) => row[column]))})`)
  await sql`
    insert into ${sql.table(name)} (${sql.join(columns.map((column) => sql.ref(column)))})
    ${own} values ${sql.join(values)}
  `.execute(to)
}

async function updateRow(to: Database, { name, key }: Carried, row: Row): Promise<void> {
  const changes = Object.entries(row).filter(([column]) => !key.includes(column))
  const sets = changes.map(([column, value]) => sql`${sql.ref(column)} = ${value}`)
  await sql`update ${sql.table(name)} set ${sql.join(sets)} where ${isRow(row, key)}`.execute(to)
}

function isRow(row: Row, key: readonly string[]): RawBuilder<unknown> {
  const same = key.map((column) => sql`${sql.ref(column)} = ${row[column]}`)
  return sql`(${sql.join(same, sql` and `)})`
}

/** Gathers rows until they make a statement. */
function createBatch(run: (rows: readonly [Row, ...Row[]]) => Promise<void>) {
  let gathered: Row[] = []
  async function end(): Promise<void> {
    const [first, ...others] = gathered
    gathered = []
    if (first !== undefined) await run([first, ...others])
  }
  return {
    async add(row: Row): Promise<void> {
      gathered.push(row)
      if (gathered.length === batchRows) await end()
    },
    end,
  }
}

/** No file and no part to come gets the number of one that was; a page may begin behind a deleted file. */
async function raiseSequences(to: Database): Promise<void> {
  const lastOf = async (name: CarriedTable) => {
    const { rows } = await sql<{ last: number | null }>`
      select max(sequence) as last from ${sql.table(name)}`.execute(to)
    return rows[0]?.last ?? 0
  }
  const files = Math.max(await lastOf('files'), await lastOf('deleted_files'))
  for (const [name, last] of [
    ['files', files] as const,
    ['parts', await lastOf('parts')] as const,
  ]) {
    if (last === 0) continue
    if (hasManyWriters(to)) {
      await sql`select setval(pg_get_serial_sequence(${name}, 'sequence'), ${last})`.execute(to)
    } else {
      await sql`delete from sqlite_sequence where name = ${name}`.execute(to)
      await sql`insert into sqlite_sequence (name, seq) values (${name}, ${last})`.execute(to)
    }
  }
}

async function countCarried(db: Database): Promise<number> {
  let total = 0
  for (const { name } of carriedTables) {
    const { rows } = await sql<{ n: number }>`
      select count(*) as n from ${sql.table(name)}`.execute(db)
    total += rows[0]?.n ?? 0
  }
  return total
}
