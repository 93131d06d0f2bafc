import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { listDisk, listRows } from './data-folder.ts'
import { inspect, nothingWrong } from './inspection.ts'
import { expectNoFaults } from './kills.ts'
import { nothingAcknowledged, sha256 } from './load.ts'
import { pauseRequest } from './paused-request.ts'
import { type Coffer, makeFolder, startCoffer } from './start-coffer.ts'
import { uploadClientOf } from './upload-client.ts'
import { finishUpload, startUploadLoad } from './upload-load.ts'

const KiB = 1024
const MiB = 1024 * KiB
const soon = { timeout: 10_000 }
const env = { COFFER_SWEEP_SECONDS: '1' }

/** One for the database of small blobs, and two for files of their own. */
const contents = [100, 700 * KiB, 300 * KiB].map((bytes) => randomBytes(bytes))
const whole = Buffer.concat(contents)

/** Sends the parts one after the other, and gives them as they are told. */
async function sendAll(coffer: Coffer, id: string, some: readonly Buffer<ArrayBuffer>[]) {
  const client = uploadClientOf(coffer)
  return Array.fromAsync(some, (content) => client.send(id, content))
}

/** Waits until the disk has just what rows hold: the first sweep comes right after a start. */
async function expectNothingElse(folder: string): Promise<void> {
  await expect.poll(() => listRows(folder).loose, soon).toEqual([])
  const { held, parts } = listRows(folder)
  expect(await listDisk(folder)).toEqual({ blobs: [...held, ...parts].sort(), drafts: [] })
}

describe('kill -9', () => {
  it('between two parts loses none that was acknowledged', async () => {
    await using folder = await makeFolder()
    await using first = await startCoffer({ folder: folder.path })
    const id = await uploadClientOf(first).begin(whole.length)
    const before = await sendAll(first, id, contents.slice(0, 2))
    await first.kill()
    await expectNoFaults(folder.path)

    await using second = await startCoffer({ folder: folder.path })
    await expectNothingElse(folder.path)
    const client = uploadClientOf(second)
    expect(await client.parts(id)).toEqual(before)
    const after = await sendAll(second, id, contents.slice(2))
    const part_ids = [...before, ...after].map((part) => part.id)
    const file = await client.complete(id, part_ids)
    expect((await client.download(file.id)).equals(whole)).toBe(true)
    await expectNoFaults(folder.path)
  })

  const head = '--b\r\ncontent-disposition: form-data; name="data"; filename="part"\r\n\r\n'
  const next = '\r\n--b\r\ncontent-disposition: form-data; name="sha256"\r\n\r\n'
  const content = randomBytes(2 * MiB)

  it.each([
    {
      when: 'half its bytes have come',
      beginning: [head, content.subarray(0, MiB)],
      left: { drafts: 1, blobs: 1 },
    },
    {
      when: 'all its bytes have come, and its form has not ended',
      beginning: [head, content, next],
      left: { drafts: 0, blobs: 2 },
    },
  ])('leaves nothing of a part when $when', async ({ beginning, left }) => {
    await using folder = await makeFolder()
    await using first = await startCoffer({ folder: folder.path, env })
    const [whole = Buffer.alloc(0)] = contents
    const id = await uploadClientOf(first).begin(whole.length + content.length)
    const before = await sendAll(first, id, [whole])
    await pauseRequest(first, {
      method: 'POST',
      path: `/v1/uploads/${id}/parts`,
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      bytes: content.length + KiB,
      beginning: Buffer.concat(beginning.map((piece) => Buffer.from(piece))),
    })
    const counts = async () => {
      const { blobs, drafts } = await listDisk(folder.path)
      return { drafts: drafts.length, blobs: blobs.length }
    }
    await expect.poll(counts, soon).toEqual(left)
    await first.kill()
    expect(await counts()).toEqual(left)

    await using second = await startCoffer({ folder: folder.path, env })
    await expectNothingElse(folder.path)
    const client = uploadClientOf(second)
    expect(await client.parts(id)).toEqual(before)
    const again = await sendAll(second, id, [content])
    const file = await client.complete(
      id,
      [...before, ...again].map((part) => part.id),
    )
    expect((await client.download(file.id)).equals(Buffer.concat([whole, content]))).toBe(true)
    await expectNoFaults(folder.path)
  })

  it('at any moment of many Uploads loses nothing that was acknowledged', async () => {
    await using folder = await makeFolder()
    await using running = new AsyncDisposableStack()
    const known = nothingAcknowledged()
    let coffer = running.use(await startCoffer({ folder: folder.path, env }))
    const found = { pending: 0, completed: 0, parts: 0 }
    for (let kill = 0; kill < 3; kill += 1) {
      const load = startUploadLoad(coffer, known)
      await load.completed(20)
      await setTimeout(randomInt(60))
      await coffer.kill()
      const open = await load.ended
      await expectNoFaults(folder.path)

      coffer = running.use(await startCoffer({ folder: folder.path, env }))
      await expectNoFaults(folder.path)
      await expectNothingElse(folder.path)
      const client = uploadClientOf(coffer)
      for (const upload of open) {
        const { status, file } = await client.retrieve(upload.id)
        // Its answer did not come through; the client would ask, and find it done.
        if (status === 'completed') {
          found.completed += 1
          expect(upload.parts.size).toBe(upload.contents.length)
          known.stored.set(file?.id ?? '', sha256(Buffer.concat(upload.contents)))
          continue
        }
        expect(status).toBe('pending')
        found.pending += 1
        found.parts += upload.parts.size
        const parts = await client.parts(upload.id)
        expect(parts.map((part) => part.id)).toEqual(
          expect.arrayContaining([...upload.parts.values()]),
        )
        await finishUpload(client, upload, known)
      }
      const { findings } = await inspect(coffer, known)
      expect(findings).toEqual(nothingWrong)
      await expectNoFaults(folder.path)
    }
    console.log(
      `kill -9: ${known.stored.size} Uploads completed; of those cut ${found.pending} were ` +
        `pending with ${found.parts} parts acknowledged, ${found.completed} were complete`,
    )
    expect(found.pending).toBeGreaterThan(0)
  })
})

describe('an Upload whose client never comes back', () => {
  it.each(['while the server runs', 'although the server was killed meanwhile'])(
    'gives back its bytes and its quota, %s',
    async (how) => {
      await using folder = await makeFolder()
      const settings = {
        ...env,
        // Counted from a whole second: one could be over as soon as it has begun.
        COFFER_UPLOAD_SECONDS: '3',
        COFFER_ORGANIZATION_QUOTA_BYTES: String(whole.length),
      }
      await using running = new AsyncDisposableStack()
      let coffer = running.use(await startCoffer({ folder: folder.path, env: settings }))
      const id = await uploadClientOf(coffer).begin(whole.length)
      await sendAll(coffer, id, contents.slice(0, 2))
      expect((await listDisk(folder.path)).blobs).toEqual(listRows(folder.path).parts)
      expect((await coffer.upload(new Uint8Array(1))).status).toBe(400)
      if (how.includes('killed')) {
        await coffer.kill()
        coffer = running.use(await startCoffer({ folder: folder.path, env: settings }))
      }

      const blobs = async () => (await listDisk(folder.path)).blobs
      await expect.poll(blobs, soon).toEqual([])
      expect(await uploadClientOf(coffer).retrieve(id)).toMatchObject({ status: 'expired' })
      expect(listRows(folder.path).parts).toEqual([])
      expect((await coffer.upload(whole)).status).toBe(200)
      await expectNoFaults(folder.path)
    },
  )
})

describe('kill -9 in the middle of a tus PATCH', () => {
  it('keeps all parts that had come whole, and the rest continues there', async () => {
    const partBytes = 256 * KiB
    const tusEnv = { ...env, COFFER_MAX_PART_BYTES: String(partBytes) }
    const content = randomBytes(7 * partBytes + 5)
    const sent = 3 * partBytes + 100 * KiB
    const tus = { 'tus-resumable': '1.0.0' }
    const body = { 'content-type': 'application/offset+octet-stream' }
    await using folder = await makeFolder()
    await using first = await startCoffer({ folder: folder.path, env: tusEnv })
    const created = await first.fetch('/v1/tus', {
      method: 'POST',
      headers: {
        ...tus,
        'upload-length': String(content.length),
        'upload-metadata': `filename ${btoa('a.bin')},purpose ${btoa('user_data')}`,
      },
    })
    const path = String(created.headers.get('location'))
    const id = path.replace('/v1/tus/', '')
    await pauseRequest(first, {
      method: 'PATCH',
      path,
      headers: { ...tus, ...body, 'upload-offset': '0' },
      bytes: content.length,
      beginning: content.subarray(0, sent),
    })
    const parts = async () => (await uploadClientOf(first).parts(id)).length
    await expect.poll(parts, soon).toBe(3)
    await first.kill()
    await expectNoFaults(folder.path)

    await using second = await startCoffer({ folder: folder.path, env: tusEnv })
    await expectNothingElse(folder.path)
    const head = await second.fetch(path, { method: 'HEAD', headers: tus })
    const offset = Number(head.headers.get('upload-offset'))
    // Whole parts at least, and nothing that was never sent.
    expect(offset).toBeGreaterThanOrEqual(3 * partBytes)
    expect(offset).toBeLessThanOrEqual(sent)
    const rest = await second.fetch(path, {
      method: 'PATCH',
      headers: { ...tus, ...body, 'upload-offset': String(offset) },
      body: content.subarray(offset),
    })
    expect(rest.status).toBe(204)
    const file = String(rest.headers.get('coffer-file-id'))
    expect((await uploadClientOf(second).download(file)).equals(content)).toBe(true)
    await expectNoFaults(folder.path)
  })
})
