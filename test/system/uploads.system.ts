import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Upload, UploadPart } from '@coffer/contract'
import { describe, expect, it } from 'vitest'
import { type Coffer, startCoffer } from '../../packages/cli/test/start-coffer.ts'
import { formBody } from '../../packages/server/test/form-body.ts'
import { type Answer, ask, formType } from './clients.ts'
import { inFlight, upTo } from './in-flight.ts'
import { report, tries } from './length.ts'
import { atRest, settled } from './process-state.ts'

const KiB = 1024

function post(coffer: Coffer, path: string, body?: unknown): Promise<Answer> {
  const json = JSON.stringify(body) ?? ''
  const sent = { type: 'application/json', body: Buffer.from(json) }
  return ask(coffer, `/v1/uploads${path}`, { method: 'POST', ...(json !== '' && sent) })
}

function addPart(coffer: Coffer, id: string, content: Uint8Array): Promise<Answer> {
  const headers = ['Content-Disposition: form-data; name="data"; filename="part"']
  const body = formBody('cut-here', [{ headers, content }])
  return ask(coffer, `/v1/uploads/${id}/parts`, { method: 'POST', type: formType, body })
}

function read({ status, body }: Answer): unknown {
  expect(status, body.toString()).toBe(200)
  return JSON.parse(body.toString())
}

describe('P33: an Upload that is completed many times at once', () => {
  const rounds = tries({ short: 50, long: 200 })

  /** What comes together with the completions; each is asked for a new Upload. */
  const rivals: Record<string, (coffer: Coffer, id: string) => Promise<Answer | undefined>> = {
    nothing: async () => undefined,
    'a cancellation': async (coffer, id) => {
      // It has less to do before: at once it is always the first, and a moment later rarely.
      if (Math.random() < 0.5) await delay(1)
      return post(coffer, `/${id}/cancel`)
    },
    'another part': (coffer, id) => addPart(coffer, id, Buffer.alloc(0)),
  }
  const names = [...Object.keys(rivals), 'its end']

  it.each(names)('beside %s becomes one file, or none', async (name) => {
    const env = {
      COFFER_LOG_LEVEL: 'silent',
      ...(name === 'its end' && { COFFER_UPLOAD_SECONDS: '3' }),
      COFFER_SWEEP_SECONDS: '1',
    }
    await using coffer = await startCoffer({ env })
    const about = { filename: 'a', purpose: 'user_data', mime_type: 'b' }
    const outcomes = new Map<string, number>()
    let files = 0

    await inFlight(upTo(rounds), 16, async () => {
      const content = randomBytes(40 * KiB)
      const upload = Upload.parse(read(await post(coffer, '', { ...about, bytes: content.length })))
      const parts: string[] = []
      for (const piece of [content.subarray(0, KiB), content.subarray(KiB)]) {
        parts.push(UploadPart.parse(read(await addPart(coffer, upload.id, piece))).id)
      }
      // It expires in the second after that of its creation; some come before, some behind.
      if (name === 'its end') await delay(upload.expires_at * 1000 - Date.now() - 20)
      const complete = () => post(coffer, `/${upload.id}/complete`, { part_ids: parts })
      const [other, ...answers] = await Promise.all([
        rivals[name]?.(coffer, upload.id),
        ...[complete(), complete(), complete(), complete(), complete()],
      ])

      const won = answers.filter(({ status }) => status === 200)
      // A bare 409 would be sent again by the SDKs.
      expect(answers.every(({ status }) => [200, 400].includes(status))).toBe(true)
      const made = new Set(won.map((answer) => Upload.parse(read(answer)).file?.id))
      expect(made.size).toBe(won.length > 0 ? 1 : 0)
      if (name === 'nothing' || name === 'another part') expect(won).toHaveLength(5)
      if (name === 'a cancellation') expect(won.length > 0).toBe(other?.status === 400)
      const [file] = made
      if (file !== undefined) {
        files += 1
        const stored = await ask(coffer, `/v1/files/${file}/content`)
        expect(stored.body.equals(content)).toBe(true)
      }
      const outcome = won.length > 0 ? 'completed' : 'not'
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    })

    const found = await settled(coffer, { descriptors: Number.POSITIVE_INFINITY })
    expect(found).toEqual(atRest(files, files * 40 * KiB, found.descriptors))
    const counts = [...outcomes].map(([outcome, count]) => `${count}×${outcome}`)
    report('P33', `${rounds} Uploads completed 5 times at once beside ${name}: ${counts}`)
  })
})
