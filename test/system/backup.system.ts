/** P58: backups that are made under load are whole when they are restored elsewhere. */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { sha256 } from '../../packages/cli/test/load.ts'
import { coffer } from '../../packages/cli/test/made-store.ts'
import { makeFolder, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { startSteadyLoad } from '../../packages/cli/test/steady-load.ts'
import { report, tries } from './length.ts'

const rounds = tries({ short: 2, long: 20 })

it('every backup under load restores to a whole store', async () => {
  await using folder = await makeFolder()
  let isOver = false
  await using source = await startCoffer({ env: { COFFER_SWEEP_SECONDS: '1' } })
  void source.ended.then(({ code, signal }) => {
    if (!isOver) console.log(`The source ended (${code ?? signal}): ${source.stderr.slice(-2000)}`)
  })
  const load = startSteadyLoad(source, { most: 1000 })
  let compared = 0
  let deletions = 0
  for (let round = 1; round <= rounds; round += 1) {
    const backup = join(folder.path, `backup-${round}`)
    const data = join(folder.path, `data-${round}`)
    await load.reached(100 * round)
    const before = new Map(load.stored)
    const deletedBefore = [...load.deleted]
    const made = await coffer('backup', '--data', source.folder, '--to', backup)
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const due = [...before].filter(([id]) => load.stored.has(id))
    deletions += before.size - due.length

    const restored = await coffer('restore', '--from', backup, '--data', data)
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    const checked = await coffer('fsck', '--data', data)
    expect(checked, checked.stdout).toMatchObject({ code: 0 })
    expect(checked.stdout).toContain('; 0 orphans, 0 B, of which 0 quarantined; 0 faults')
    const beside = await coffer('fsck', '--data', source.folder)
    expect(beside, beside.stdout).toMatchObject({ code: 0 })

    await using target = await startCoffer({ folder: data })
    for (const [id, sum] of due) {
      const answer = await target.fetch(`/v1/files/${id}/content`)
      expect(answer.status, id).toBe(200)
      expect(sha256(new Uint8Array(await answer.arrayBuffer())), id).toBe(sum)
      compared += 1
    }
    for (const id of deletedBefore.slice(-100)) {
      const answer = await target.fetch(`/v1/files/${id}`)
      await answer.body?.cancel()
      expect(answer.status, id).toBe(404)
    }
    expect(target.stderr).not.toMatch(/"level":(40|50)/)
    await target.stop()
    await rm(backup, { recursive: true })
    await rm(data, { recursive: true })
  }
  await load.stop()
  isOver = true
  report(
    'P58',
    `${rounds} backups under load restored: ${compared} files compared, 0 differ, 0 missing; ` +
      `${deletions} deleted meanwhile; fsck 0 faults each time, also beside the source.`,
  )
})
