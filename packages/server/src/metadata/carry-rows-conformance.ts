/** What carrying rows must do to any target, whatever database it is. */

import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { carryRows, compareRows } from './carry-rows.ts'
import type { TargetRows } from './row-ends.ts'
import type { Database } from './tables.ts'

/** All that begins anew in another database; whatever else there is must go along. */
const staysBehind = ['loose_blobs', 'orphans', 'servers', 'store']

export interface CarryEnds extends AsyncDisposable {
  /** Of SQLite, whose rows the tests replace. */
  readonly source: TargetRows
  readonly target: TargetRows
}

type Value = string | number | null | Uint8Array
type State = ReadonlyMap<string, readonly Readonly<Record<string, Value>>[]>

export function describeCarrying(name: string, open: () => Promise<CarryEnds>): void {
  describe(`rows carried to ${name}`, () => {
    let ends: CarryEnds
    beforeAll(async () => {
      ends = await open()
    })
    afterAll(() => ends[Symbol.asyncDispose]())
    const { signal } = new AbortController()

    it('become those of the source, whatever was there, with every column of every table', async () => {
      const { source, target } = ends
      const tables = await tablesOf(source.db)
      expect(tables.length).toBeGreaterThan(7)
      await fc.assert(
        fc.asyncProperty(states, async (state) => {
          await source.together(() => replaceRows(source.db, state, tables))
          const [from, before] = [
            await readRows(source.db, tables),
            await readRows(target.db, tables),
          ]
          expect(await compareRows(source.db, target.db, { signal })).toEqual({
            came: countMissing(from, before),
            went: countMissing(before, from),
            isAny: JSON.stringify(from) !== JSON.stringify(before),
          })
          await target.together(() => carryRows(source.db, target.db, { signal }))
          expect(await readRows(target.db, tables)).toEqual(from)
          const none = { came: 0, went: 0, isAny: false }
          expect(await compareRows(source.db, target.db, { signal })).toEqual(none)
        }),
        { numRuns: 60 },
      )
    })

    it('take more than a page, and as few as there are', async () => {
      const { source, target } = ends
      const tables = await tablesOf(source.db)
      const sizes = [1203, 1000, 1000, 1, 0, 500]
      for (const [round, count] of sizes.entries()) {
        const state = manyFiles(count, round)
        await source.together(() => replaceRows(source.db, state, tables))
        let moved: [number, number] = [0, 0]
        await target.together(() =>
          carryRows(source.db, target.db, {
            signal,
            moved: (...now) => {
              moved = now
            },
          }),
        )
        const total = count === 0 ? 0 : 2 + 2 * count
        expect(moved).toEqual([total, total])
        expect(await readRows(target.db, tables)).toEqual(await readRows(source.db, tables))
      }
    })

    it('lack what is left out, as if it were deleted, whether it was there or not', async () => {
      const { source, target } = ends
      const tables = await tablesOf(source.db)
      const upload = {
        ...{ id: 'upload_out', organization_id: 'o', project_id: 'p', purpose: '', filename: '' },
        ...{ mime_type: '', bytes: 5, created_at: 1, expires_at: 1, status: 'pending' },
      }
      const part = {
        ...{ sequence: 900, id: 'part_out', upload_id: 'upload_out', blob_id: 'out', bytes: 5 },
        ...{ sha256: '', checksums: Uint8Array.of(1), encoding: '', created_at: 1 },
      }
      const all = new Map([...manyFiles(4, 0), ['uploads', [upload]], ['parts', [part]]] as const)
      await source.together(() => replaceRows(source.db, manyFiles(3, 0), tables))
      const without = await readRows(source.db, tables)
      await source.together(() => replaceRows(source.db, all, tables))
      const except = new Set(['many-9', 'upload_out'])
      for (const _ of ['absent', 'there']) {
        await target.together(() => carryRows(source.db, target.db, { signal, except }))
        expect(await readRows(target.db, tables)).toEqual(without)
        await target.together(() => carryRows(source.db, target.db, { signal }))
        expect(await readRows(target.db, tables)).toEqual(await readRows(source.db, tables))
      }
      await target.together(() => carryRows(source.db, target.db, { signal, except }))
      expect(await readRows(target.db, tables)).toEqual(without)
    })

    it('leave the numbers of what was deleted to nobody else', async () => {
      const { source, target } = ends
      const tables = await tablesOf(source.db)
      const owner = manyFiles(1, 0)
      const deleted = { id: 'gone', project_id: 'p', created_at: 1, sequence: 7000, deleted_at: 2 }
      const state = new Map([...owner, ['deleted_files', [deleted]] as const])
      await source.together(() => replaceRows(source.db, state, tables))
      await target.together(() => carryRows(source.db, target.db, { signal }))
      const { sequence: _, ...file } = owner.get('files')?.[0] ?? {}
      await insert(target.db, 'files', { ...file, id: 'next' })
      const { rows } = await sql<{ sequence: number }>`
        select sequence from files where id = 'next'`.execute(target.db)
      expect(rows).toEqual([{ sequence: 7001 }])
      await sql`delete from files where id = 'next'`.execute(target.db)
    })

    it('change nothing where it does not come to its end', async () => {
      const { source, target } = ends
      const tables = await tablesOf(source.db)
      const before = await readRows(target.db, tables)
      await source.together(() => replaceRows(source.db, manyFiles(20, 3), tables))
      const failing = target.together(async () => {
        await carryRows(source.db, target.db, { signal })
        throw new Error('the end')
      })
      await expect(failing).rejects.toThrow('the end')
      expect(await readRows(target.db, tables)).toEqual(before)
      const stopped = target.together(() =>
        carryRows(source.db, target.db, { signal: AbortSignal.abort(new Error('stopped')) }),
      )
      await expect(stopped).rejects.toThrow('stopped')
      expect(await readRows(target.db, tables)).toEqual(before)
    })
  })
}

/** As they stand in the database, those behind that others refer to. */
async function tablesOf(db: Database): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select name from sqlite_schema where type = 'table' and name not like 'sqlite%'`.execute(db)
  const names = rows.map(({ name }) => name).filter((name) => !staysBehind.includes(name))
  const first = ['organizations', 'projects', 'api_keys', 'files', 'segments', 'uploads', 'parts']
  return [...first, ...names.filter((name) => !first.includes(name))]
}

async function readRows(db: Database, tables: readonly string[]) {
  const all: Record<string, string[]> = {}
  for (const name of tables) {
    const { rows } = await sql<Record<string, Value>>`select * from ${sql.table(name)}`.execute(db)
    // Columns have an order of their own in each database.
    all[name] = rows
      .map((row) => JSON.stringify(Object.entries(row).map(toText).toSorted()))
      .toSorted()
  }
  return all
}

function toText([column, value]: [string, Value]): string {
  return `${column} ${value instanceof Uint8Array ? value.toHex() : JSON.stringify(value)}`
}

function countMissing(
  from: Readonly<Record<string, string[]>>,
  to: Readonly<Record<string, string[]>>,
): number {
  const keys = (rows: Readonly<Record<string, string[]>>) =>
    (rows['files'] ?? []).map((row) => /sequence \d+/.exec(row)?.[0])
  const there = new Set(keys(to))
  return keys(from).filter((key) => !there.has(key)).length
}

async function replaceRows(db: Database, state: State, tables: readonly string[]): Promise<void> {
  for (const name of tables.toReversed()) await sql`delete from ${sql.table(name)}`.execute(db)
  for (const name of tables) for (const row of state.get(name) ?? []) await insert(db, name, row)
}

async function insert(
  db: Database,
  name: string,
  row: Readonly<Record<string, Value>>,
): Promise<void> {
  const columns = sql.join(Object.keys(row).map((column) => sql.ref(column)))
  const values = sql.join(Object.values(row))
  await sql`insert into ${sql.table(name)} (${columns}) values (${values})`.execute(db)
}

function manyFiles(count: number, shift: number): State {
  const numbers = Array.from({ length: count }, (_, number) => 3 * number + shift)
  if (count === 0) return new Map()
  return new Map<string, Record<string, Value>[]>([
    ['organizations', [{ id: 'o', name: 'O', used_bytes: count, created_at: shift }]],
    ['projects', [{ id: 'p', organization_id: 'o', name: 'P', created_at: shift }]],
    ['files', numbers.map((number) => fileOf(number, { organization_id: 'o', project_id: 'p' }))],
    [
      'segments',
      numbers.map((number) => ({
        ...{ file_id: `many-${number}`, position: 0, blob_id: `b${number}` },
        ...{ bytes: 1, checksums: Uint8Array.of(number % 256) },
      })),
    ],
  ])
}

function fileOf(number: number, rest: Record<string, Value>): Record<string, Value> {
  return {
    ...{ sequence: number + 100, id: `many-${number}`, purpose: 'user_data', filename: 'f' },
    ...{ bytes: 1, sha256: '', encoding: 'binary', created_at: 1, expires_at: null },
    ...{ damaged_at: null, mime_type: null, num_lines: null, tokens: null, ...rest },
  }
}

const text = fc
  .string({ unit: 'grapheme', maxLength: 4 })
  .map((value) => value.replaceAll('\0', ''))
const number = fc.oneof(fc.nat(3), fc.constantFrom(0, 4_000_000_000, Number.MAX_SAFE_INTEGER))
const bytes = fc.uint8Array({ maxLength: 3 })
const orNull = <Kind>(arbitrary: fc.Arbitrary<Kind>) => fc.option(arbitrary, { nil: null })

/** A row with the number that it was made of. */
type Made = Readonly<Record<string, Value>> & { readonly made: number }

/** Some of the same few keys each time, so that rows come, change and go. */
function some(
  of: (key: number) => Record<string, fc.Arbitrary<Value>>,
  minLength = 0,
): fc.Arbitrary<Made[]> {
  return fc
    .subarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength })
    .chain((keys) =>
      fc.tuple(...keys.map((made) => fc.record(of(made)).map((row) => ({ ...row, made })))),
    )
}

const is = fc.constant

/** Of what others refer to there are so many of the eight at least, so that not all others are without. */
const most = 6

/** In the order of bytes, which is not that of UTF-16. */
const ordered = ['\uffee', '𝄞', '', 'Z', 'a', 'z', 'ä', '𝄢']

const states: fc.Arbitrary<State> = fc
  .record({
    organizations: some(
      (key) => ({
        ...{ id: is(`o${ordered[key]}`), name: text, used_bytes: number, created_at: number },
      }),
      most,
    ),
    projects: some((key) => ({ id: is(`p${key}`), name: text, created_at: number }), most),
    // A digest may go from one key to another, and that of a key stays.
    api_keys: some((key) => ({
      id: fc.constantFrom(`k0 ${key}`, `k1 ${key}`),
      created_at: number,
    })).map((keys) => keys.map((key) => ({ ...key, name: 'K', digest: `𝄞 ${key.made}` }))),
    files: some(
      (key) => ({
        ...{ sequence: is(key + 1), id: is(`file-${key}`), purpose: text, filename: text },
        ...{ bytes: number, sha256: text, encoding: fc.constantFrom('utf-8', 'binary') },
        ...{ created_at: number, expires_at: orNull(number), damaged_at: orNull(number) },
        ...{ mime_type: orNull(text), num_lines: orNull(number), tokens: orNull(number) },
      }),
      most,
    ),
    segments: some((key) => ({
      // So that sometimes nothing else changes.
      ...{ position: is(key), blob_id: is('b'), bytes: is(1), checksums: bytes },
    })),
    uploads: some(
      (key) => ({
        ...{ id: is(`upload_${key}`), purpose: text, filename: text, mime_type: text },
        ...{ bytes: is(Number.MAX_SAFE_INTEGER), lifetime: orNull(number), created_at: number },
        ...{ expires_at: number, status: fc.constantFrom('pending', 'completed', 'expired') },
        ...{ file_id: orNull(text), part_ids: orNull(text), tus_metadata: orNull(text) },
        ...{ arrived_bytes: number, arrived_parts: number },
      }),
      most,
    ),
    parts: some((key) => ({
      ...{ sequence: is(key + 1), id: is(`part_${key}`), blob_id: is(`b${key}`), bytes: number },
      ...{ sha256: text, checksums: bytes, encoding: text, created_at: number },
    })),
    deleted_files: some((key) => ({
      // In the order of bytes, which is not that of UTF-16.
      ...{
        id: is(['', 'Z', 'a', 'ä', 'z', '\uffee', '𝄞', '𝄢'][key] ?? ''),
        project_id: text,
        created_at: number,
        sequence: fc.nat(20),
      },
      deleted_at: number,
    })),
  })
  .map(({ organizations, projects, files, segments, uploads, parts, ...others }) => {
    const owned = referring(projects, 'organization_id', organizations)
    const own = (rows: readonly Made[]) =>
      referring(referring(rows, 'organization_id', organizations), 'project_id', owned)
    const [ownFiles, ownUploads] = [own(files), own(uploads)]
    const all = {
      ...{ ...others, organizations, projects: owned, api_keys: own(others.api_keys) },
      ...{ files: ownFiles, segments: referring(segments, 'file_id', ownFiles) },
      ...{ uploads: ownUploads, parts: referring(parts, 'upload_id', ownUploads) },
    }
    return new Map(Object.entries(all).map(([name, rows]) => [name, rows.map(withoutKey)]))
  })

/** Rows that refer to others, those with a quarter of the number; where there is none, there is no row. */
function referring(rows: readonly Made[], column: string, to: readonly Made[]): Made[] {
  return rows.flatMap((row) => {
    // The same each time: what a row refers to never changes.
    const found = to.find(({ made }) => made === Math.floor(row.made / 4))
    return found === undefined ? [] : [{ ...row, [column]: found['id'] ?? null }]
  })
}

function withoutKey({ made: _, ...row }: Made): Record<string, Value> {
  return row as Record<string, Value>
}
