/** Many small uploads at once, beside nginx, `@tus/server` and one upload after the other. */

import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runLoad, uploadOf } from '../clients.ts'
import type { LoadResult } from '../load.ts'
import { flush, inTurn, median } from '../measure.ts'
import { type CofferServer, startCoffer } from '../servers/coffer.ts'
import { startNginx } from '../servers/nginx.ts'
import { type Server, startServer } from '../servers/program.ts'
import type { Row } from '../table.ts'
import { type Timed, timed, usageOf } from '../timed.ts'

const bytes = 4096
const connections = 64
const uploads = 5000
const rounds = 5

const content = randomBytes(bytes)

export async function measureSmallFiles(folder: string): Promise<Row[]> {
  await using coffer = await startCoffer(folder)
  await using nginx = await startNginx(folder)
  await mkdir(join(nginx.folder, 'files'))
  await using tus = await startTus(folder)
  // Whoever has served thousands of requests is compiled.
  await uploadTo(coffer)
  const withNginx = await inTurn(
    rounds,
    () => rated(coffer, () => uploadTo(coffer)),
    () => rated(nginx, () => putTo(nginx)),
  )
  const withTus = await inTurn(
    rounds,
    () => rated(coffer, () => uploadTo(coffer)),
    () => rated(tus, () => createOn(tus)),
  )
  const work = `${bytes} B uploads, ${connections} connections, durable`
  return [
    row(`${work}, beside nginx DAV PUT`, 'nginx', withNginx, 0.5),
    row(`${work}, beside @tus/server`, '@tus/server', withTus, 10),
    ...(await measureSlowDisk(folder)),
  ]
}

/** Stops the server at its flushes only, each of which then takes so many microseconds more. */
const slowDisk: [string, ...string[]] = [
  'strace',
  ...['--seccomp-bpf', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync'],
  ...['-e', 'inject=fsync,fdatasync:delay_exit=5000'],
]

/** Many at once, beside one connection, each of whose uploads waits for flushes of its own. */
async function measureSlowDisk(folder: string): Promise<Row[]> {
  await using coffer = await startCoffer(folder, { wrapper: slowDisk })
  const pair = await inTurn(
    rounds,
    () => rated(coffer, () => uploadTo(coffer, { count: 1000 })),
    () => rated(coffer, () => uploadTo(coffer, { count: 50, connections: 1 })),
  )
  return [row('the same with 5 ms added to each flush, beside one connection', 'one', pair, 3)]
}

interface Rated extends Timed {
  readonly perSecond: number
}

async function rated(server: Server, work: () => Promise<LoadResult>): Promise<Rated> {
  flush()
  let result: LoadResult | undefined
  const run = await timed(server, async () => {
    result = await work()
  })
  return { ...run, perSecond: (result?.requests ?? 0) / (result?.seconds ?? 0) }
}

function row(
  work: string,
  other: string,
  { a, b }: { a: Rated[]; b: Rated[] },
  least: number,
): Row {
  const [coffer, beside] = [a, b].map((runs) => median(runs.map(({ perSecond }) => perSecond)))
  return {
    work,
    measured: `${coffer?.toFixed(0)} files/s, ${other} ${beside?.toFixed(0)}`,
    figure: (coffer ?? Number.NaN) / (beside ?? Number.NaN),
    goal: { least },
    ...usageOf(a),
  }
}

function uploadTo(
  { port }: CofferServer,
  { count = uploads, connections: width = connections } = {},
): Promise<LoadResult> {
  const { head, body } = uploadOf(content)
  const expected = 'HTTP/1.1 200'
  return runLoad({ port, connections: width, heads: [head], rounds: count, body, expected })
}

function putTo({ port }: Server): Promise<LoadResult> {
  return runLoad({
    ...{ port, connections, rounds: uploads },
    heads: [
      `PUT /${randomBytes(4).toString('hex')}-{n} HTTP/1.1\nHost: a\nContent-Length: ${bytes}\n\n`,
    ],
    body: content.toString('base64'),
    expected: 'HTTP/1.1 201',
  })
}

/** Creation with the content in the same request, which is the quickest that tus can do. */
function createOn({ port }: Server): Promise<LoadResult> {
  const headers = [
    ...['Host: a', 'Tus-Resumable: 1.0.0', 'Content-Type: application/offset+octet-stream'],
    ...[`Upload-Length: ${bytes}`, `Content-Length: ${bytes}`],
  ]
  return runLoad({
    ...{ port, connections, rounds: uploads },
    heads: [['POST /files HTTP/1.1', ...headers, '', ''].join('\n')],
    body: content.toString('base64'),
    expected: 'HTTP/1.1 201',
  })
}

function startTus(folder: string): Promise<Server> {
  const program = join(import.meta.dirname, '../servers/tus.ts')
  return startServer(folder, (own) => ({ command: [process.execPath, program, own] }))
}
