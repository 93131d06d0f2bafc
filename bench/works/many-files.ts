/** A store of a million files: its lists, its start and its size, beside one of a thousand. */

import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { cofferHead, curl, curlAsk, curlUpload, runLoad } from '../clients.ts'
import { inTurn, median } from '../measure.ts'
import { startOn } from '../servers/coffer.ts'
import type { Row } from '../table.ts'

const rounds = 5
const many = 1_000_000
const few = 1000
/** Of each content; files of other sizes have the same rows. */
const contentBytes = 1000

export async function measureManyFiles(parent: string): Promise<Row[]> {
  const folder = await mkdtemp(join(parent, 'coffer-bench-many-'))
  try {
    const [large, small] = [join(folder, 'many'), join(folder, 'few')]
    await fill(large, many)
    await fill(small, few)
    const bytes = await sizeOf(large)
    return [
      ...(await measureLists(large, small)),
      ...(await measureStarts(folder, large)),
      {
        work: `bytes on the disk for each of ${many} files, beyond its content`,
        measured: `${((bytes - many * contentBytes) / many).toFixed(0)} B`,
        figure: (bytes - many * contentBytes) / many,
      },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const pages: { name: string; queryOf: (middle: string) => string }[] = [
  { name: 'the first page', queryOf: () => '' },
  { name: 'a page in the middle', queryOf: (middle) => `&after=${middle}` },
  { name: 'of a purpose', queryOf: (middle) => `&purpose=batch&after=${middle}` },
]

async function measureLists(large: string, small: string): Promise<Row[]> {
  await using ofMany = await startOn(large)
  await using ofFew = await startOn(small)
  const servers = [
    { port: ofMany.port, middle: idOf(many / 2) },
    { port: ofFew.port, middle: idOf(few / 2) },
  ]
  const rows: Row[] = []
  for (const { name, queryOf } of pages) {
    const [a, b] = servers.map(({ port, middle }) => async () => {
      const head = cofferHead(`GET /v1/files?limit=100${queryOf(middle)}`)
      const expected = 'HTTP/1.1 200'
      return runLoad({ port, connections: 1, heads: [head], rounds: 500, body: '', expected })
    })
    if (a === undefined || b === undefined) throw new Error('There are two servers.')
    await a()
    await b()
    const pair = await inTurn(rounds, a, b)
    const [one, other] = [pair.a, pair.b].map((runs) =>
      median(runs.map(({ p50Milliseconds }) => p50Milliseconds)),
    )
    const p99 = median(pair.a.map(({ p99Milliseconds }) => p99Milliseconds))
    rows.push(
      {
        work: `list 100 of ${many} files, ${name}, beside ${few}`,
        measured: `${one?.toFixed(2)} ms, ${other?.toFixed(2)} ms`,
        figure: (one ?? Number.NaN) / (other ?? Number.NaN),
        goal: { most: 1.2 },
      },
      {
        work: `list 100 of ${many} files, ${name}: p99 in milliseconds`,
        measured: `${p99.toFixed(2)} ms`,
        figure: p99,
        goal: { most: 10 },
      },
    )
  }
  return rows
}

async function measureStarts(parent: string, large: string): Promise<Row[]> {
  const empty: number[] = []
  const full: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    empty.push(await startSeconds(await mkdtemp(join(parent, 'empty-'))))
    full.push(await startSeconds(large))
  }
  return [startRow('empty', empty, 0.4), startRow(`with ${many} files`, full, 0.5)]
}

/** From the start of the process to its first answer to a request of the API. */
async function startSeconds(folder: string): Promise<number> {
  const began = performance.now()
  await using server = await startOn(folder)
  await curl('-o', '/dev/null', ...curlAsk(server.port, '?limit=1'))
  return (performance.now() - began) / 1000
}

function startRow(what: string, times: readonly number[], most: number): Row {
  const seconds = median(times)
  return {
    work: `seconds from the start to the first answer, ${what}`,
    measured: `${seconds.toFixed(3)} s`,
    figure: seconds,
    goal: { most },
  }
}

/** The rows and bytes as uploads leave them, written at once: by uploads it would take an hour. */
async function fill(folder: string, count: number): Promise<void> {
  {
    // The first file gives the organization and the project of all.
    await using server = await startOn(folder)
    await curl('-o', '/dev/null', ...curlUpload(server.port, '/etc/hostname'))
  }
  const numbers = `with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ${count})`
  const id = (prefix: string) => `'${prefix}' || printf('%022d', n)`
  const blob = `printf('%08x', (n * 2654435761) & 4294967295) || printf('%024x', n)`
  write(join(folder, 'coffer.db'), [
    `insert into files (id, organization_id, project_id, purpose, filename, bytes, sha256, encoding, created_at)
      ${numbers} select ${id('file-')}, organization_id, project_id, case n % 3 when 0 then 'batch' else 'user_data' end,
        'file-' || n || '.jsonl', ${contentBytes}, hex(randomblob(32)), 'utf-8', 1700000000 + n / 10
      from numbers, (select organization_id, project_id from files limit 1)`,
    `insert into segments (file_id, position, blob_id, bytes, checksums)
      ${numbers} select ${id('file-')}, 0, ${blob}, ${contentBytes}, randomblob(4) from numbers`,
    `update organizations set used_bytes = (select sum(bytes) from files)`,
  ])
  write(join(folder, 'blobs', 'small-blobs.db'), [
    `insert into blobs (id, content) ${numbers} select ${blob}, randomblob(${contentBytes}) from numbers`,
  ])
}

function idOf(number: number): string {
  return `file-${String(number).padStart(22, '0')}`
}

function write(path: string, statements: readonly string[]): void {
  using database = new DatabaseSync(path)
  database.exec('pragma synchronous = off; begin')
  for (const statement of statements) database.exec(statement)
  database.exec('commit; pragma wal_checkpoint(truncate)')
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('-ballast')) continue
    bytes += (await stat(join(entry.parentPath, entry.name))).blocks * 512
  }
  return bytes
}
