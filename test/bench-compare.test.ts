import { spawnSync } from 'node:child_process'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { formatRows, type Row } from '../bench/table.ts'

const rows: Row[] = [
  { work: 'time of an upload', measured: '1 s, 2 s', figure: 0.5, goal: { most: 1 } },
  { work: 'uploads a second', measured: '10/s, 5/s', figure: 2, goal: { least: 1 } },
  { work: 'bytes of a row', measured: '300 B', figure: 300 },
]

/** @param changes are by what each figure is multiplied. */
async function compare(...changes: number[]) {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'coffer-test-'))
  const [before, after] = [join(folder.path, 'old.md'), join(folder.path, 'new.md')]
  const changed = rows.map((row, at) => ({ ...row, figure: row.figure * (changes[at] ?? 1) }))
  await writeFile(before, `# Results\n\n${formatRows(rows)}`)
  await writeFile(after, `# Results\n\n${formatRows(changed)}`)
  const program = join(import.meta.dirname, '../bench/run.ts')
  const run = spawnSync(process.execPath, [program, '--compare', before, after])
  return {
    code: run.status,
    marks: String(run.stdout)
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  }
}

it.each([
  [[1, 1, 1], 0, ['same', 'same', 'same']],
  [[1.15, 0.9, 1.15], 0, ['same', 'same', 'same']],
  [[1.25, 1, 1], 1, ['WORSE', 'same', 'same']],
  [[1, 0.8, 1], 1, ['same', 'WORSE', 'same']],
  [[0.7, 1.5, 1.3], 1, ['better', 'better', 'WORSE']],
] as const)(
  'two pages whose figures are %j of each other are compared',
  async (changes, code, marks) => {
    expect(await compare(...changes)).toEqual({ code, marks: [...marks] })
  },
)
