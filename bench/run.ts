/**
 * `npm run bench`: measures all and writes RESULTS.md and chart.svg; `npm run bench -- NAME…` measures
 * only what is named, and writes nothing; `npm run bench -- --compare OLD NEW` compares two pages.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { drawChart } from './chart.ts'
import { compare } from './compare.ts'
import { root } from './measure.ts'
import { findNginx } from './servers/nginx.ts'
import { formatRows, type Row } from './table.ts'
import { measureAnswers } from './works/answers.ts'
import { measureBusyServer } from './works/busy-server.ts'
import { measureCommandLine } from './works/command-line.ts'
import { measureContentRules } from './works/content-rules.ts'
import { measureFloors } from './works/floors.ts'
import { measureLargeFiles } from './works/large-files.ts'
import { measureManyFiles } from './works/many-files.ts'
import { measureSharedStores } from './works/shared-stores.ts'
import { measureSmallFiles } from './works/small-files.ts'
import { measureUploads } from './works/uploads.ts'

const disk = tmpdir()
const memory = '/dev/shm'

/** In this order, so that what writes most comes last. */
const works: Record<string, () => Promise<Row[]>> = {
  'command-line': measureCommandLine,
  answers: () => measureAnswers(disk),
  'small-files': () => measureSmallFiles(disk),
  'many-files': () => measureManyFiles(disk),
  memory: () => {
    return measureLargeFiles({ name: 'in memory', folder: memory, upload: 1.5, download: 1.5 })
  },
  disk: () => measureLargeFiles({ name: 'on disk', folder: disk, upload: 1, download: 1.1 }),
  'content-rules': () => measureContentRules(disk),
  'busy-server': () => measureBusyServer(disk),
  floors: () => measureFloors(disk, memory),
  uploads: () => measureUploads(disk),
  'shared-stores': () => measureSharedStores(disk),
}

const { values, positionals } = parseArgs({
  options: { compare: { type: 'boolean', default: false } },
  allowPositionals: true,
})

if (values.compare) {
  const [before, after, ...others] = positionals
  if (before === undefined || after === undefined || others.length > 0) {
    throw new Error('Give two pages: npm run bench -- --compare OLD NEW')
  }
  process.exitCode = compare(before, after) ? 0 : 1
} else {
  const rows = await measure(positionals)
  const page = pageOf(rows)
  process.stdout.write(page)
  if (positionals.length === 0) {
    await writeFile(join(root, 'bench/RESULTS.md'), page)
    await writeFile(join(root, 'bench/chart.svg'), drawChart(rows))
  }
}

async function measure(names: readonly string[]): Promise<Row[]> {
  for (const name of names) {
    if (!(name in works)) {
      throw new Error(`There is no ${name}; there are ${Object.keys(works).join(', ')}.`)
    }
  }
  if (findNginx() === undefined) {
    throw new Error('The measure needs nginx with DAV: apt-get install nginx-light strace')
  }
  const rows: Row[] = []
  for (const [name, work] of Object.entries(works)) {
    if (names.length > 0 && !names.includes(name)) continue
    process.stderr.write(`${name}…\n`)
    rows.push(...(await work()))
  }
  return rows
}

function pageOf(rows: readonly Row[]): string {
  const [{ model = 'unknown' } = {}, ...others] = cpus()
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: root,
    encoding: 'utf8',
  })
  const facts = [
    `${others.length + 1} × ${model.trim()}`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Linux ${release()}`,
    `Node ${process.versions.node}`,
    `nginx ${findNginx()}`,
    `Coffer at ${commit.trim()}`,
  ]
  return (
    '# Results\n\n' +
    'Written by `npm run bench`: medians of five runs in turn (A B A B …), of three for 8 GiB, the ratio first to second. ' +
    'Processor seconds and the peak of resident memory are those of Coffer, for one run.\n\n' +
    `${facts.join(', ')}.\n\n![How far each figure is from its goal](chart.svg)\n\n${formatRows(rows)}\n` +
    readFileSync(join(import.meta.dirname, 'where-time-goes.md'), 'utf8')
  )
}
