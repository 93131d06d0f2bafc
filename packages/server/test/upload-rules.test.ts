import { createHash } from 'node:crypto'
import { type File, Upload, UploadPart } from '@coffer/contract'
import { Document, Packer, Paragraph } from 'docx'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { afterAll, describe, expect, it } from 'vitest'
import { failure, readRefusal } from './answers.ts'
import { readRefused } from './rules.ts'
import { type Client, startServer } from './start-server.ts'
import { batchLine, evalLine, png, trainingLine } from './valid-content.ts'

const KiB = 1024
const MiB = 1024 * KiB
const server = await startServer({
  settings: { COFFER_MAX_FILE_TOKENS: '100', COFFER_MAX_BATCH_BYTES: String(9 * MiB) },
})
afterAll(() => server[Symbol.asyncDispose]())

function post(client: Client, path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return client.fetch(`/v1/uploads${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
}

interface Begun {
  readonly client: Client
  readonly id: string
  readonly part_ids: readonly string[]
}

/** An Upload whose parts are all there, cut at these places. */
async function begin(
  purpose: string,
  filename: string,
  content: Uint8Array<ArrayBuffer> | string,
  cuts: readonly number[] = [],
): Promise<Begun> {
  const client = await server.addTenant()
  const bytes = Buffer.from(content)
  const about = { purpose, filename, bytes: bytes.length, mime_type: 'x' }
  const begun = await post(client, '', about)
  expect(begun.status).toBe(200)
  const { id } = Upload.parse(await begun.json())
  const part_ids: string[] = []
  for (const [index, end] of [...cuts, bytes.length].entries()) {
    const form = new FormData()
    form.set('data', new Blob([bytes.subarray(cuts[index - 1] ?? 0, end)]))
    const part = await client.fetch(`/v1/uploads/${id}/parts`, { method: 'POST', body: form })
    part_ids.push(UploadPart.parse(await part.json()).id)
  }
  return { client, id, part_ids }
}

function complete({ client, id, part_ids }: Begun, md5?: string): Promise<Response> {
  return post(client, `/${id}/complete`, { part_ids, ...(md5 === undefined ? {} : { md5 }) })
}

async function completed(begun: Begun, md5?: string): Promise<File> {
  const response = await complete(begun, md5)
  expect(response.status, await response.clone().text()).toBe(200)
  return Upload.parse(await response.json()).file ?? expect.fail()
}

async function uploadOf({ client, id }: Begun): Promise<Upload> {
  return Upload.parse(await (await client.fetch(`/v1/uploads/${id}`)).json())
}

/** What is wrong with the content, which must stay with its Upload. */
async function refused(begun: Begun, md5?: string) {
  const before = [await server.stored(), await begun.client.usedBytes()]
  const found = await readRefused(await complete(begun, md5))
  expect([await server.stored(), await begun.client.usedBytes()]).toEqual(before)
  expect(await uploadOf(begun)).toMatchObject({ status: 'pending', file: null })
  return found
}

/** The blob that holds the bytes of a part. */
async function blobOf(part_id: string): Promise<string> {
  const [row] = await server.query<{ blob_id: string }>(
    'select blob_id from parts where id = ?',
    part_id,
  )
  return row?.blob_id ?? expect.fail('There is no such part.')
}

const md5Of = (content: string) => createHash('md5').update(content).digest('hex')

/** Lines of more than a MiB, of which one may be bad. */
function batchOf(bad?: number): { content: string; offset: number } {
  const lines = Array.from({ length: 30_000 }, (_, at) => batchLine(`id-${at}`))
  if (bad !== undefined) lines[bad] = '{"custom_id": "漢'
  const before = lines.slice(0, bad ?? 0).map((line) => `${line}\n`)
  return { content: lines.map((line) => `${line}\n`).join(''), offset: before.join('').length }
}

describe('the completion of an Upload', () => {
  it('takes lines that are cut between the parts', async () => {
    const { content } = batchOf()
    const bytes = content.length
    for (const cuts of [[1], [bytes - 1], [MiB, MiB + 1, MiB + 2], [0, 50, 50, 3 * MiB]]) {
      const file = await completed(await begin('batch', 'a.jsonl', content, cuts))
      expect(file).toMatchObject({ num_lines: 30_000, mime_type: 'application/jsonl', bytes })
      // That of several parts would have to be computed.
      expect(file).not.toHaveProperty('sha256')
    }
  })

  it('takes a character that is cut between the parts, and a line of small parts', async () => {
    const content = '{"item":{"a":"漢😀"}}\n'
    const bytes = Buffer.byteLength(content)
    for (let cut = 0; cut <= bytes; cut += 1) {
      expect(await completed(await begin('evals', 'a.jsonl', content, [cut]))).toMatchObject({
        num_lines: 1,
      })
    }
    const each = Array.from({ length: bytes - 1 }, (_, index) => index + 1)
    expect(await completed(await begin('evals', 'a.jsonl', content, each))).toMatchObject({
      num_lines: 1,
    })
  })

  it('tells the faults, and leaves all as it was', async () => {
    const { content, offset } = batchOf(20_000)
    for (const cuts of [[], [offset + 3], [offset + 17, offset + 18], [MiB, 2 * MiB]]) {
      const begun = await begin('batch', 'a.jsonl', content, cuts)
      for (const md5 of [undefined, md5Of(content)]) {
        const found = await refused(begun, md5)
        expect(found).toEqual({
          message: 'Line 20001: This line is not parseable as valid JSON.',
          param: null,
          details: [
            {
              ...{ line: 20_001, offset, code: 'invalid_json_line', param: null },
              message: 'This line is not parseable as valid JSON.',
              expected: 'a JSON object',
            },
          ],
          details_total: 1,
        })
      }
    }
  })

  it('can be given up once it was refused', async () => {
    const begun = await begin('evals', 'a.jsonl', `[]\n${evalLine}\n`, [3])
    await refused(begun)
    const cancelled = await post(begun.client, `/${begun.id}/cancel`, {})
    expect(await cancelled.json()).toMatchObject({ status: 'cancelled' })
    expect(await begun.client.usedBytes()).toBe(0)
  })

  it('looks at the order of the parts that it is asked for', async () => {
    const begun = await begin('evals', 'a.jsonl', `{"item":${evalLine}}`, [8])
    const [head = '', tail = ''] = begun.part_ids
    expect(await refused({ ...begun, part_ids: [tail, head] })).toMatchObject({ details_total: 1 })
    expect(await completed(begun)).toMatchObject({ num_lines: 1 })
  })

  it('checks the MD5 first, and the content with it', async () => {
    const content = `${trainingLine}\n`
    const begun = await begin('fine-tune', 'a.jsonl', content, [4])
    const wrong = await readRefusal(await complete(begun, md5Of('x')))
    expect(wrong).toMatchObject({ status: 400, param: 'md5' })
    expect(await completed(begun, md5Of(content))).toMatchObject({ num_lines: 1 })
  })

  it('is given once to all who ask for it at the same time', async () => {
    const { content } = batchOf()
    const begun = await begin('batch', 'a.jsonl', content, [MiB])
    const answers = await Promise.all(Array.from({ length: 5 }, () => complete(begun)))
    const ids = await Promise.all(
      answers.map(async (answer) => Upload.parse(await answer.json()).file?.id),
    )
    expect(new Set(ids).size).toBe(1)
    expect((await begun.client.list()).data).toHaveLength(1)
  })

  it('counts the tokens of a document, and refuses too many', async () => {
    const text = 'internationalization '.repeat(20)
    expect(await completed(await begin('assistants', 'a.txt', text, [7, 200]))).toMatchObject({
      tokens: countTokens(text),
    })
    const paragraph = new Paragraph('word '.repeat(200))
    const docx = await Packer.toBuffer(new Document({ sections: [{ children: [paragraph] }] }))
    const begun = await begin('assistants', 'a.docx', Buffer.from(docx), [1000, 2000])
    expect(await refused(begun)).toMatchObject({
      message: 'The file is too large: its text has more than 100 tokens.',
      details: [{ code: 'too_many_tokens', line: null }],
    })
  })

  it('tells text from bytes where a character is cut, and an image by its first bytes', async () => {
    expect(await completed(await begin('assistants', 'a.txt', 'ä漢', [1, 3, 4]))).toMatchObject({
      mime_type: 'text/plain',
    })
    const latin = Buffer.from('t\xebxt', 'latin1')
    expect(await refused(await begin('assistants', 'a.txt', latin, [2]))).toMatchObject({
      details: [{ code: 'invalid_encoding' }],
    })
    expect(await completed(await begin('vision', 'a', Buffer.from(png), [1, 5]))).toMatchObject({
      mime_type: 'image/png',
    })
    expect(await refused(await begin('vision', 'a.png', 'text', [1]))).toMatchObject({
      details: [{ code: 'unsupported_image' }],
    })
  })

  it.each([
    ['lines', 'batch', 'a.jsonl', () => batchOf().content],
    ['a document', 'assistants', 'a.txt', () => '\ufeff'.concat('word '.repeat(500_000))],
  ])('of %s whose bytes are lost says so', async (_, purpose, filename, make) => {
    const lost = failure(
      500,
      'The content of this file is damaged or missing in the storage, so it is not given out.',
    )
    const { removeBlob, replaceBlob } = server.stores
    for (const harm of [removeBlob, (id: string) => replaceBlob(id, new Uint8Array())]) {
      // What stands first is looked at before the rest.
      for (const part of [0, 1]) {
        const begun = await begin(purpose, filename, Buffer.from(make()), [900 * KiB])
        await harm(await blobOf(begun.part_ids[part] ?? ''))
        const answer = await complete(begun)
        expect(await readRefusal(answer)).toEqual({ ...lost, code: 'file_content_unavailable' })
        expect(await uploadOf(begun)).toMatchObject({ status: 'pending' })
      }
    }
  })
})

describe('a new Upload', () => {
  it('is refused for what is known already', async () => {
    const client = await server.addTenant()
    const about = { filename: 'a.jsonl', purpose: 'batch', mime_type: 'x', bytes: 1 }
    for (const [differences, code] of [
      [{ filename: 'a.txt' }, 'invalid_extension'],
      [{ bytes: 9 * MiB + 1 }, 'batch_too_large'],
      [{ purpose: 'assistants', filename: 'a.exe' }, 'invalid_extension'],
    ] as const) {
      const answer = await readRefused(await post(client, '', { ...about, ...differences }))
      expect(answer.details).toMatchObject([{ line: null, offset: null, code }])
    }
    expect(await client.usedBytes()).toBe(0)
    expect((await post(client, '', { ...about, bytes: 9 * MiB })).status).toBe(200)
  })
})

describe('a tus upload', () => {
  async function beginTus(client: Client, content: string): Promise<[string, Response]> {
    const metadata = { filename: 'a.jsonl', purpose: 'evals' }
    const response = await client.fetch('/v1/tus', {
      method: 'POST',
      headers: {
        'tus-resumable': '1.0.0',
        'upload-length': String(content.length),
        'upload-metadata': Object.entries(metadata)
          .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
          .join(','),
      },
    })
    expect(response.status).toBe(201)
    const path = String(response.headers.get('location'))
    const patched = await client.fetch(path, {
      method: 'PATCH',
      headers: {
        ...{ 'tus-resumable': '1.0.0', 'upload-offset': '0' },
        'content-type': 'application/offset+octet-stream',
      },
      body: content,
    })
    return [path, patched]
  }

  it('becomes a file where its content is right', async () => {
    const [, response] = await beginTus(await server.addTenant(), `${evalLine}\n`)
    expect(response.status).toBe(204)
    expect(response.headers.get('coffer-file-id')).toMatch(/^file-/)
  })

  it('is refused with its faults, and given up: no other bytes could come in their place', async () => {
    const client = await server.addTenant()
    const [path, response] = await beginTus(client, `${evalLine}\n[]\n`)
    const answer = await readRefused(response)
    expect(answer.details).toMatchObject([{ line: 2, offset: 17, code: 'invalid_json_line' }])
    const again = await client.fetch(path, {
      method: 'HEAD',
      headers: { 'tus-resumable': '1.0.0' },
    })
    expect(again.status).toBe(404)
    expect(await (await client.fetch(path.replace('/tus/', '/uploads/'))).json()).toMatchObject({
      status: 'cancelled',
      file: null,
    })
    expect((await client.list()).data).toEqual([])
    expect(await client.usedBytes()).toBe(0)
  })
})
