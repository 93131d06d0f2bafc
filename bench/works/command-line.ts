/** The command line beside curl, against the same server. */

import { randomFillSync } from 'node:crypto'
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { curlUpload } from '../clients.ts'
import { inTurn, type Measured, measure, median } from '../measure.ts'
import { type CofferServer, program, startCoffer } from '../servers/coffer.ts'
import type { Row } from '../table.ts'

const MiB = 1024 * 1024

export async function measureCommandLine(): Promise<Row[]> {
  await using server = await startCoffer()
  const folder = await mkdtemp(join(tmpdir(), 'coffer-bench-files-'))
  try {
    return [
      await startToFirstByte(folder),
      ...(await manySmallFiles(server, folder)),
      // Last, because the disk is busy with its bytes for a while.
      ...(await oneLargeFile(server, folder)),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function oneLargeFile(server: CofferServer, folder: string): Promise<Row[]> {
  const path = join(folder, 'large.bin')
  await writeRandom(path, 512)
  const { a: coffer, b: curl } = await inTurn(
    5,
    () => measure([program, 'upload', path], server.env),
    () => measure(quietCurl(server, path)),
  )
  return [
    {
      work: 'coffer upload of one 512 MiB file, beside curl',
      measured: `${seconds(coffer)} s, curl ${seconds(curl)} s`,
      figure: seconds(coffer) / seconds(curl),
      goal: { most: 1.15 },
    },
    memoryRow('one 512 MiB file', coffer),
  ]
}

function memoryRow(what: string, runs: readonly Measured[]): Row {
  return {
    work: `coffer upload of ${what}: peak resident MiB`,
    measured: `${peak(runs)} MiB`,
    figure: peak(runs),
    goal: { most: 120 },
  }
}

async function manySmallFiles(server: CofferServer, folder: string): Promise<Row[]> {
  const small = join(folder, 'small')
  await mkdir(small)
  for (let count = 0; count < 1000; count += 1) {
    await writeFile(join(small, `${count}.bin`), randomFillSync(Buffer.alloc(4096)))
  }
  const [command, ...args] = quietCurl(server, '"$file"')
  const loop = `for file in ${small}/*; do ${[command, ...args.map(quoted)].join(' ')} || exit 1; done`
  const { a: coffer, b: curl } = await inTurn(
    5,
    () => measure([program, 'upload', small], server.env),
    () => measure(['sh', '-c', loop]),
  )
  return [
    {
      work: 'coffer upload of 1,000 files of 4 KiB, beside 1,000 curl calls in turn',
      measured: `${seconds(coffer)} s, curl ${seconds(curl)} s`,
      figure: seconds(coffer) / seconds(curl),
      goal: { most: 0.1 },
    },
    memoryRow('1,000 files of 4 KiB', coffer),
  ]
}

/** From the start of the process to the first byte of its request at the server. */
async function startToFirstByte(folder: string): Promise<Row> {
  const path = join(folder, 'note.txt')
  await writeFile(path, 'Remember the milk.\n')
  let began = 0
  const times: number[] = []
  const server = createServer((request, response) => {
    times.push(performance.now() - began)
    request.resume().on('end', () => response.end('{"id": "file-1", "filename": "note.txt"}'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const env = { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: 'key' }
  for (let round = 0; round < 7; round += 1) {
    began = performance.now()
    await measure([program, 'upload', path], env)
  }
  server.close()
  const milliseconds = Math.round(median(times))
  return {
    work: 'coffer upload: milliseconds from its start to its first byte',
    measured: `${milliseconds} ms`,
    figure: milliseconds,
    goal: { most: 150 },
  }
}

function quietCurl({ port }: CofferServer, path: string): [string, ...string[]] {
  return ['curl', '-sfS', '-o', '/dev/null', ...curlUpload(port, path)]
}

/** In double quotes, so that the loop's variable is filled in. */
function quoted(argument: string): string {
  return `"${argument.replaceAll('"', '')}"`
}

async function writeRandom(path: string, mebibytes: number): Promise<void> {
  await using handle = await open(path, 'w')
  const piece = Buffer.alloc(MiB)
  for (let count = 0; count < mebibytes; count += 1) await handle.writeFile(randomFillSync(piece))
}

function seconds(runs: readonly Measured[]): number {
  return Math.round(median(runs.map((run) => run.seconds)) * 1000) / 1000
}

function peak(runs: readonly Measured[]): number {
  return Math.round(median(runs.map((run) => run.peakMiB ?? Number.NaN)))
}
