/** Small answers: one file, a deletion, a page of a list. */

import { cofferHead, curl, curlAsk, runLoad, uploadOf } from '../clients.ts'
import type { LoadResult } from '../load.ts'
import { inTurn, median } from '../measure.ts'
import { startCoffer } from '../servers/coffer.ts'
import { type Server, startBare } from '../servers/program.ts'
import type { Row } from '../table.ts'

const connections = 64
const rounds = 5
const files = 1000
const asked = 10_000

export async function measureAnswers(folder: string): Promise<Row[]> {
  await using coffer = await startCoffer(folder)
  await using bare = await startBare(folder)
  const ids = await fill(coffer)
  const heads = ids.map((id) => cofferHead(`GET /v1/files/${id}`))
  await ask(coffer, heads)
  const retrieves = await inTurn(
    rounds,
    () => ask(coffer, heads),
    () => ask(bare, heads),
  )
  const [one, other] = [rateOf(retrieves.a), rateOf(retrieves.b)]
  return [
    {
      work: 'retrieve a file, beside bare node:http with the same answer',
      measured: `${one.toFixed(0)}/s, bare ${other.toFixed(0)}`,
      figure: one / other,
      goal: { least: 0.6 },
    },
    ...(await measureAnswersOf(coffer)),
  ]
}

/** What no other server is beside. */
export async function measureAnswersOf(coffer: Server): Promise<Row[]> {
  const lists: LoadResult[] = []
  const deletions: LoadResult[] = []
  for (let round = 0; round < rounds; round += 1) {
    lists.push(await ask(coffer, [cofferHead('GET /v1/files?limit=20')], 2000))
    const rest = await fill(coffer)
    deletions.push(
      await ask(
        coffer,
        rest.map((id) => cofferHead(`DELETE /v1/files/${id}`)),
        1,
      ),
    )
  }
  return [
    stated('list 20 files: milliseconds of the server', lists),
    stated('delete a file: milliseconds of the server', deletions),
  ]
}

/** @returns the ids of files that it has uploaded. */
async function fill({ port }: Server): Promise<string[]> {
  const { head, body } = uploadOf(Buffer.alloc(100))
  const expected = 'HTTP/1.1 200'
  await runLoad({ port, connections, heads: [head], rounds: files, body, expected })
  const list: { data: { id: string }[] } = JSON.parse(
    await curl(...curlAsk(port, `?limit=${files}`)),
  )
  return list.data.map(({ id }) => id)
}

function ask({ port }: Server, heads: string[], count = asked / heads.length): Promise<LoadResult> {
  return runLoad({ port, connections, heads, rounds: count, body: '', expected: 'HTTP/1.1 200' })
}

function rateOf(results: readonly LoadResult[]): number {
  return median(results.map(({ requests, seconds }) => requests / seconds))
}

function stated(work: string, results: readonly LoadResult[]): Row {
  const rate = rateOf(results)
  return { work, measured: `${rate.toFixed(0)}/s`, figure: 1000 / rate }
}
