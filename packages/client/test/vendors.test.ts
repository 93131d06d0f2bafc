import { describe, expect, it } from 'vitest'
import {
  ApiException,
  BadRequestException,
  ForbiddenException,
  NotFoundException,
  ServiceException,
  UnauthorizedException,
  UnexpectedAnswerException,
  UnprocessableEntityException,
} from '../src/index.ts'
import { type Act, someFile, startScript } from './scripted-server.ts'

const azure = {
  bytes: 1548,
  created_at: 1711471533,
  filename: 'train.jsonl',
  id: 'file-2a9b3c4d5e6f708192a3b4c5d6e7f809',
  object: 'file',
  purpose: 'fine-tune',
  status: 'pending',
  updated_at: 1711471533,
}

const mistral = {
  id: '497f6eca-6276-4993-bfeb-53cbbbba6f09',
  object: 'file',
  bytes: 13000,
  created_at: 1716963433,
  filename: 'files_upload.jsonl',
  purpose: 'ocr',
  sample_type: 'ocr_input',
  num_lines: null,
  mimetype: 'application/jsonl',
  source: 'upload',
  signature: 'd4821d2de1917341',
  expires_at: null,
  visibility: 'workspace',
}

const groq = {
  id: 'file_01jh6x76wtemjr74t1fh0faj5t',
  object: 'file',
  bytes: 966,
  created_at: 1736472501,
  filename: 'input.jsonl',
  purpose: 'batch',
}

const together = {
  id: 'file-29f3a1b2-c4d5-6e7f-8091-a2b3c4d5e6f7',
  object: 'file',
  created_at: 1700000000,
  filename: 'coqa.jsonl',
  bytes: 0,
  purpose: 'batch-api',
  Processed: true,
  FileType: 'jsonl',
  LineCount: 0,
}

const xai = { ...groq, id: 'file_0b5c7a8e-7a1b-4f7e-9c7a-0d9f8e7d6c5b', purpose: '' }

const nulls = { ...someFile, status: null, expires_at: null, purpose: null, filename: null }

describe.concurrent('a file of another vendor', () => {
  it.for([
    ['Azure, whose states are others', azure],
    ['Mistral, whose purposes are others and which has more fields', mistral],
    ['Groq, which leaves the status out', groq],
    ['Together, which has fields of its own', together],
    ['xAI, whose purpose is empty', xai],
    ['one that answers with null', nulls],
  ] as const)('is read as it came: %s', async ([, file]) => {
    await using server = await startScript({ body: file }, { body: file })
    expect(await server.api().retrieveFile(file.id)).toEqual(file)
    expect(await server.api().createFile(new Blob(['content']), 'fine-tune')).toEqual(file)
  })

  it('is created with 201, as Azure answers', async () => {
    const headers = { location: `/openai/files/${azure.id}` }
    await using server = await startScript({ status: 201, headers, body: azure })
    expect(await server.api().createFile(new Blob(['{}']), 'fine-tune')).toEqual(azure)
  })

  it('is read whatever the content type says', async () => {
    const headers = { 'content-type': 'text/plain' }
    await using server = await startScript({ headers, body: JSON.stringify(groq) })
    expect(await server.api().retrieveFile(groq.id)).toEqual(groq)
  })

  it('has an id of any shape, which is one part of the path', async () => {
    await using server = await startScript({ body: groq })
    await server.api().retrieveFile('a/b?c=d #é')
    expect(server.requests[0]?.url).toBe('/v1/files/a%2Fb%3Fc%3Dd%20%23%C3%A9')
  })

  it('is uploaded with a purpose that only the vendor knows', async () => {
    await using server = await startScript({ body: mistral })
    await server.api().createFile(new Blob(['{}']), 'ocr')
    expect(server.requests[0]?.body.toString()).toContain('name="purpose"\r\n\r\nocr\r\n')
  })

  it('is deleted where the answer names another object', async () => {
    const body = { id: 'file-1', object: 'file.deleted', deleted: true }
    await using server = await startScript({ body })
    expect(await server.api().deleteFile('file-1')).toEqual(body)
  })

  it('is deleted where the answer is 204 and empty, as of Azure', async () => {
    await using server = await startScript({ status: 204 })
    expect(await server.api().deleteFile('file-1')).toEqual({ id: 'file-1', deleted: true })
  })
})

describe.concurrent('a list of another vendor', () => {
  it.for([
    ['Groq, without has_more', { object: 'list', data: [groq, xai] }],
    ['Mistral, with a total', { data: [groq, xai], object: 'list', total: 2 }],
    ['Together, with data alone', { data: [groq, xai] }],
    ['one with null', { data: [groq, xai], has_more: null, first_id: null, last_id: null }],
  ])('is asked for once: %s', async ([, body]) => {
    await using server = await startScript({ body: body as object })
    const files = await Array.fromAsync(server.api().iterateFiles())
    expect(files).toEqual([groq, xai])
    expect(server.requests).toHaveLength(1)
  })

  it('goes on by the id of the last file where last_id is missing', async () => {
    await using server = await startScript(
      { body: { data: [groq], has_more: true } },
      { body: { data: [xai], has_more: false } },
    )
    expect(await Array.fromAsync(server.api().iterateFiles({ limit: 1 }))).toEqual([groq, xai])
    expect(server.requests.map(({ url }) => url)).toEqual([
      '/v1/files?limit=1',
      `/v1/files?limit=1&after=${groq.id}`,
    ])
  })

  it.for([
    ['an empty page', { data: [], has_more: true }],
    ['the same page again', { data: [groq], has_more: true }],
  ])('ends where the server says that there is more and sends %s', async ([, body]) => {
    const first = { body: { data: [groq], has_more: true } }
    await using server = await startScript(first, { body: body as object })
    const ids = await Array.fromAsync(server.api().iterateFiles(), ({ id }) => id)
    expect(new Set(ids)).toEqual(new Set([groq.id]))
    expect(server.requests).toHaveLength(2)
  })
})

describe.concurrent('an error of another vendor', () => {
  it.for([
    [
      'the vendor',
      401,
      { error: { message: 'No key.', code: 'invalid_api_key', param: null } },
      { message: 'No key.', code: 'invalid_api_key', param: undefined },
    ],
    [
      'Azure',
      400,
      { error: { code: 'invalidPayload', message: 'Invalid value for purpose.' } },
      { message: 'Invalid value for purpose.', code: 'invalidPayload' },
    ],
    [
      'one without error',
      403,
      { message: 'Not yours.', type: 'forbidden' },
      { message: 'Not yours.', type: 'forbidden' },
    ],
    [
      'Mistral',
      422,
      { object: 'error', message: 'Unprocessable.', type: 'invalid_request_error', code: 3000 },
      { message: 'Unprocessable.', code: undefined },
    ],
    ['FastAPI', 404, { detail: 'Not Found' }, { message: 'Not Found' }],
    [
      'one with a text',
      400,
      { error: 'The purpose is missing.' },
      { message: 'The purpose is missing.' },
    ],
    [
      'one with a list',
      422,
      { detail: [{ loc: ['body'], msg: 'field required' }] },
      { message: 'The server answered 422.' },
    ],
    [
      'one with nulls',
      400,
      { error: { message: null, code: null } },
      { message: 'The server answered 400.' },
    ],
    ['one with null', 400, { error: null }, { message: 'The server answered 400.' }],
    ['one with no object', 400, ['no'], { message: 'The server answered 400.' }],
    [
      'a proxy',
      502,
      '<html><h1>502 Bad Gateway</h1></html>',
      { message: 'The server answered 502.' },
    ],
    ['one with nothing', 404, '', { message: 'The server answered 404.' }],
    ['one beyond the classes', 451, { error: { message: 'Not here.' } }, { message: 'Not here.' }],
  ] as const)('is told in its own words: %s', async ([, status, body, facts]) => {
    const headers = { 'x-request-id': 'req_1' }
    await using server = await startScript({ status, headers, body })
    const error = await server
      .api({ maxRetries: 0 })
      .retrieveFile('file-1')
      .catch((e) => e)
    expect(error).toBeInstanceOf(classes.get(status) ?? ApiException)
    expect(error).toMatchObject({
      ...facts,
      status,
      requestId: 'req_1',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  })
})

const classes = new Map<number, typeof ApiException>([
  [400, BadRequestException],
  [401, UnauthorizedException],
  [403, ForbiddenException],
  [404, NotFoundException],
  [422, UnprocessableEntityException],
  [502, ServiceException],
])

describe.concurrent('faults of content', () => {
  const fault = {
    ...{ line: 3, offset: 40, code: 'invalid_type', message: 'No.', param: null, expected: 'a' },
  }
  const bare = { line: null, offset: null, code: '', message: 'Why.', param: null, expected: '' }

  it.for([
    ['as Coffer tells them', { details: [fault], details_total: 7 }, [fault], 7],
    ['none', {}, [], 0],
    ['only sentences', { details: [{ message: 'Why.' }] }, [bare], 1],
    ['of other types', { details: [{ ...bare, line: '3', code: 5 }] }, [bare], 1],
    ['no faults', { details: ['a', null, 5, { '@type': 'Help' }], details_total: 'x' }, [], 0],
    ['a text', { details: 'Look at the file.' }, [], 0],
    [
      'fewer in all than are told',
      { details: [fault, fault], details_total: 1 },
      [fault, fault],
      2,
    ],
  ] as const)('are read where they are such: %s', async ([, facts, details, detailsTotal]) => {
    const body = { error: { message: 'No.' }, ...facts }
    await using server = await startScript({ status: 400, body })
    const error = await server
      .api()
      .retrieveFile('file-1')
      .catch((e) => e)
    expect(error).toMatchObject({ message: 'No.', details, detailsTotal })
  })
})

describe.concurrent('an answer of success that is none of this API', () => {
  const page: Act = { headers: { 'x-request-id': 'req_1' }, body: '<html>Welcome</html>' }

  it('is told with what came', async () => {
    await using server = await startScript(page)
    const error = await server
      .api()
      .retrieveFile('file-1')
      .catch((e) => e)
    expect(error).toBeInstanceOf(UnexpectedAnswerException)
    expect(error).toMatchObject({ status: 200, requestId: 'req_1', body: '<html>Welcome</html>' })
  })

  it.for([
    ['a file without an id', { object: 'file' }],
    ['a list where a file is meant', { object: 'list', data: [] }],
    ['null', 'null'],
  ])('is no file: %s', async ([, body]) => {
    await using server = await startScript({ body: body as object })
    const found = server.api().retrieveFile('file-1')
    await expect(found).rejects.toThrow(UnexpectedAnswerException)
  })

  it.for([
    ['a file where a list is meant', groq],
    ['data that are none', { data: {} }],
    ['a file without an id within', { data: [groq, {}] }],
  ])('is no list: %s', async ([, body]) => {
    await using server = await startScript({ body: body as object })
    await expect(server.api().listFiles()).rejects.toThrow(UnexpectedAnswerException)
  })
})
