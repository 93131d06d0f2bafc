/** The stores that many servers share: a large file beside the S3 server alone, and small requests. */

import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { S3Engine } from '../../packages/server/test/s3-server.ts'
import { curl, curlAsk, runLoad, uploadOf } from '../clients.ts'
import type { LoadResult } from '../load.ts'
import { flush, inTurn, median } from '../measure.ts'
import { type CofferServer, startCoffer } from '../servers/coffer.ts'
import { type SharedStores, startSharedStores } from '../servers/shared-stores.ts'
import { store, timedStore } from '../store.ts'
import type { Row } from '../table.ts'
import { secondsOf, type Timed, timed, usageOf } from '../timed.ts'
import { measureAnswersOf } from './answers.ts'
import { writeRandom } from './large-files.ts'

const rounds = 5
const connections = 64
const names: Record<S3Engine, string> = { versitygw: 'VersityGW', seaweedfs: 'SeaweedFS' }

export async function measureSharedStores(folder: string): Promise<Row[]> {
  return [...(await measureOn('versitygw', folder)), ...(await measureOn('seaweedfs', folder))]
}

async function measureOn(engine: S3Engine, folder: string): Promise<Row[]> {
  await using stores = await startSharedStores(engine)
  const { settings } = stores
  await using coffer = await startCoffer(folder, { settings })
  await using linking = await startCoffer(folder, {
    settings: { ...settings, COFFER_DOWNLOADS: 'redirect' },
  })
  const name = `on PostgreSQL and ${names[engine]}`
  return [
    ...(await measureLarge({ coffer, linking, ...stores }, engine)),
    await measureSmall(coffer, name),
    ...(await measureAnswersOf(coffer)).map((row) => ({ ...row, work: `${row.work}, ${name}` })),
  ]
}

interface LargeNeeds extends Pick<SharedStores, 'straight'> {
  readonly coffer: CofferServer
  /** One that sends clients to the S3 server, on the same stores. */
  readonly linking: CofferServer
}

async function measureLarge(
  { coffer, linking, straight }: LargeNeeds,
  engine: S3Engine,
): Promise<Row[]> {
  const path = join('/dev/shm', `coffer-bench-${process.pid}.bin`)
  await writeRandom(path)
  try {
    const put = () => {
      flush()
      return timed(coffer, () => curl('-o', '/dev/null', '-H', 'Expect:', '-T', path, straight.put))
    }
    const uploads = await inTurn(rounds, () => timedStore(coffer, path), put)
    const id = await store(coffer, path)
    const get = () => timed(coffer, () => curl('-o', '/dev/null', straight.get))
    const downloadFrom = (server: CofferServer) => () =>
      timed(server, () => {
        return curl('-L', '-o', '/dev/null', ...curlAsk(server.port, `/${id}/content`))
      })
    const downloads = await inTurn(rounds, downloadFrom(coffer), get)
    const byLinks = await inTurn(rounds, downloadFrom(linking), get)
    const name = names[engine]
    return [
      row(`512 MiB upload to S3, beside curl straight to ${name}`, uploads),
      row(`512 MiB download from S3, beside curl straight from ${name}`, downloads),
      row(
        `512 MiB download from S3 by a link (COFFER_DOWNLOADS=redirect), beside the same`,
        byLinks,
      ),
    ]
  } finally {
    await rm(path)
  }
}

async function measureSmall({ port }: CofferServer, name: string): Promise<Row> {
  const { head, body } = uploadOf(randomBytes(4096))
  const expected = 'HTTP/1.1 200'
  const results: LoadResult[] = []
  for (let round = 0; round < rounds; round += 1) {
    flush()
    results.push(await runLoad({ port, connections, heads: [head], rounds: 1000, body, expected }))
  }
  const rate = median(results.map(({ requests, seconds }) => requests / seconds))
  return {
    work: `4096 B uploads, ${connections} connections, ${name}: milliseconds of the server`,
    measured: `${rate.toFixed(0)} files/s`,
    figure: 1000 / rate,
  }
}

function row(work: string, { a, b }: { a: Timed[]; b: Timed[] }): Row {
  return {
    work,
    measured: `${secondsOf(a).toFixed(3)} s, S3 ${secondsOf(b).toFixed(3)} s`,
    figure: secondsOf(a) / secondsOf(b),
    goal: { most: 1.3 },
    ...usageOf(a),
  }
}
