/** The rows of a table in the order of its key, page by page, so that it does not matter how many there are. */

import { sql } from 'kysely'
import type { Carried } from './carried-tables.ts'
import type { Database } from './tables.ts'

export type Row = Readonly<Record<string, unknown>>

/** Rows of one query. */
const pageRows = 500

/** All rows of a table, whole or only what tells them apart and whose they are. */
export async function* walkRows(
  db: Database,
  { name, key, holder = key[0] ?? '' }: Carried,
  columns: 'all' | 'key' = 'all',
): AsyncGenerator<Row> {
  const refs = sql.join(key.map((column) => sql.ref(column)))
  const wanted = columns === 'all' ? sql`*` : sql`${refs}, ${sql.ref(holder)}`
  let behind = sql``
  for (;;) {
    const { rows } = await sql<Row>`
      select ${wanted} from ${sql.table(name)} ${behind} order by ${refs} limit ${pageRows}
    `.execute(db)
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < pageRows) return
    behind = sql`where (${refs}) > (${sql.join(key.map((column) => last[column]))})`
  }
}

/** A row of either of two tables, or of both under the same key. */
export interface Pair {
  readonly from: Row | undefined
  readonly to: Row | undefined
}

/** Holds two walks over a table, each in its database, against each other. */
export async function* pairRows(
  from: AsyncGenerator<Row>,
  to: AsyncGenerator<Row>,
  key: readonly string[],
): AsyncGenerator<Pair> {
  const [left, right] = [createHead(from), createHead(to)]
  await Promise.all([left.next(), right.next()])
  for (;;) {
    const order = compareHeads(left.row, right.row, key)
    if (order === undefined) return
    yield { from: order <= 0 ? left.row : undefined, to: order >= 0 ? right.row : undefined }
    if (order <= 0) await left.next()
    if (order >= 0) await right.next()
  }
}

function createHead(rows: AsyncGenerator<Row>) {
  const head = {
    row: undefined as Row | undefined,
    async next() {
      const { done, value } = await rows.next()
      head.row = done === true ? undefined : value
    },
  }
  return head
}

/** Undefined where there are none any more. */
function compareHeads(
  left: Row | undefined,
  right: Row | undefined,
  key: readonly string[],
): number | undefined {
  if (left === undefined) return right && 1
  if (right === undefined) return -1
  for (const column of key) {
    const order = compareValues(left[column], right[column])
    if (order !== 0) return order
  }
  return 0
}

/** As both databases do, which compare text byte by byte. */
function compareValues(left: unknown, right: unknown): number {
  if (left === right) return 0
  if (typeof left === 'number' && typeof right === 'number') return left - right
  return Buffer.compare(Buffer.from(String(left)), Buffer.from(String(right)))
}

export function isSameRow(left: Row, right: Row): boolean {
  return Object.keys(left).every((column) => isSameValue(left[column], right[column]))
}

function isSameValue(left: unknown, right: unknown): boolean {
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    return Buffer.compare(left, right) === 0
  }
  return left === right
}
