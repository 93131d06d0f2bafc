import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { type Kills, killUnderLoad } from '../../packages/cli/test/kills.ts'
import { makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { report, tries } from './length.ts'

const kills = tries({ short: 20, long: 200 })
/** After which the folder is new, as every file is read again after every kill. */
const killsOfOneFolder = 10
const answers = tries({ short: 75, long: 150 })
const rows = 100_000
const mostMilliseconds = 5000

// It shows the order of writes, and nothing about syncs; those are power-cut.system.ts.
describe('kill -9 under load', () => {
  it('loses no acknowledged file and leaves nothing half there', async () => {
    const all: Kills[] = []
    for (let done = 0; done < kills; done += killsOfOneFolder) {
      await using folder = await makeFolder()
      all.push(await killUnderLoad(folder.path, { kills: killsOfOneFolder, answers }))
    }
    const sum = (of: (kills: Kills) => number) => all.reduce((total, one) => total + of(one), 0)
    const slowest = Math.max(...all.flatMap(({ starts }) => starts))
    report(
      'P5',
      `${kills} kills, ${sum((one) => one.stored)} files and ${sum((one) => one.deleted)} ` +
        `deletions acknowledged, ${sum((one) => one.interrupted)} requests cut; 0 lost, 0 wrong, ` +
        `0 half there, 0 left over; ready again within ${slowest} ms`,
    )
    expect(slowest).toBeLessThan(mostMilliseconds)
  })

  it('is ready again soon with many files', async () => {
    await using folder = await makeFolder()
    await using first = await startCoffer({ folder: folder.path })
    await first.upload(randomBytes(1000))
    await first.stop()
    addRows(folder.path)

    await using second = await startCoffer({ folder: folder.path })
    await second.upload(randomBytes(1000))
    await second.kill()
    await using third = await startCoffer({ folder: folder.path })
    report('P5', `ready again with ${rows} files ${third.startMilliseconds} ms after a kill`)
    expect(third.startMilliseconds).toBeLessThan(mostMilliseconds)
    expect((await third.upload(randomBytes(1000))).status).toBe(200)
  })
})

/** As uploads would, which would take minutes. */
function addRows(folder: string): void {
  using database = new DatabaseSync(join(folder, 'coffer.db'))
  database.exec(`
    with recursive numbers (number) as (
      select 1 union all select number + 1 from numbers where number < ${rows}
    )
    insert into files (id, organization_id, project_id, purpose, filename, bytes, sha256, encoding, created_at)
    select 'file-many-' || number, organization_id, project_id, purpose, filename, bytes, sha256, encoding, created_at
    from numbers, (select * from files limit 1);
    insert into segments (file_id, position, blob_id, bytes, checksums)
    select id, 0, lower(hex(randomblob(16))), bytes, x'' from files where id like 'file-many-%';
  `)
}
