/** The five operations of the Files API, and the check of a file before it is uploaded. */

import {
  DeletedFile,
  File,
  FileCheck,
  FilePage,
  ListFilesQuery,
  limits,
  Problem,
  UploadPurpose,
} from '@coffer/contract'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Files } from '../service/files.ts'
import { readBody } from './body-source.ts'
import { answerContent } from './content-answer.ts'
import { type CreateForm, readCreateForm } from './create-form.ts'
import { formOverheadBytes, readBoundary, welcome } from './form-request.ts'
import { readListQuery } from './list-query.ts'
import { readMultipart } from './multipart.ts'
import { whileConnected } from './while-connected.ts'

const FileId = z.object({ file_id: z.string().describe('The id of the file.') })

/** For the document: the form itself is read by `readCreateForm`, as a stream. */
const CreateFileForm = z.object({
  file: z.file().describe('The content, with its name.'),
  purpose: UploadPurpose,
  'expires_after[anchor]': z.literal('created_at').optional(),
  'expires_after[seconds]': z
    .int()
    .min(limits.expiresAfterSeconds.least)
    .max(limits.expiresAfterSeconds.most)
    .optional()
    .describe('From the creation of the file until it expires.'),
})

const bearer = { security: [{ ApiKeyAuth: [] }], tags: ['Files'] }
const failure = { default: Problem }

const Bytes = z.string().meta({ format: 'binary' })
const bytes = { 'application/octet-stream': { schema: Bytes }, 'text/plain': { schema: Bytes } }

export function addFileRoutes(app: FastifyInstance, files: Files): void {
  app.post('/files', {
    schema: {
      ...bearer,
      operationId: 'createFile',
      summary: 'Upload a file.',
      consumes: ['multipart/form-data'],
      body: CreateFileForm,
      response: { 200: File, ...failure },
    },
    handler: async (request, reply) => create(request, reply),
  })

  app.post('/files/check', {
    schema: {
      ...bearer,
      operationId: 'checkFile',
      summary: 'Tell what an upload of the file would find wrong, and keep nothing; an extension.',
      consumes: ['multipart/form-data'],
      body: CreateFileForm,
      response: { 200: FileCheck, ...failure },
    },
    handler: async (request, reply) => {
      await using form = await readForm(request, reply, true)
      return await whileConnected(reply.raw, (signal) =>
        files.check(request.caller, form.content, form.file, signal),
      )
    },
  })

  app.get('/files', {
    schema: {
      ...bearer,
      operationId: 'listFiles',
      summary: 'List files, a page at a time.',
      querystring: ListFilesQuery,
      response: { 200: FilePage, ...failure },
    },
    handler: async ({ caller, query }) => files.list(caller, readListQuery(query)),
  })

  app.get('/files/:file_id', {
    schema: {
      ...bearer,
      operationId: 'retrieveFile',
      summary: 'Tell about one file.',
      params: FileId,
      response: { 200: File, ...failure },
    },
    handler: async ({ caller, params }) => files.retrieve(caller, FileId.parse(params).file_id),
  })

  app.delete('/files/:file_id', {
    schema: {
      ...bearer,
      operationId: 'deleteFile',
      summary: 'Delete a file.',
      params: FileId,
      response: { 200: DeletedFile, ...failure },
    },
    handler: async ({ caller, params }) => files.delete(caller, FileId.parse(params).file_id),
  })

  app.get('/files/:file_id/content', {
    schema: {
      ...bearer,
      operationId: 'downloadFile',
      summary: "Give a file's content.",
      params: FileId,
      response: {
        200: { description: 'The content.', content: bytes },
        302: z.null().describe('The whole content is where Location says, for a while.'),
        206: { description: 'The range of the content that was asked for.', content: bytes },
        304: z.null().describe('The content has not changed.'),
        ...failure,
      },
    },
    handler: async (request, reply) => {
      const { file_id } = FileId.parse(request.params)
      return answerContent(request, reply, await files.open(request.caller, file_id))
    },
  })

  async function create(request: FastifyRequest, reply: FastifyReply): Promise<File> {
    await using form = await readForm(request, reply, false)
    // To read a document may take as long as a connection may idle.
    return await whileConnected(reply.raw, (signal) =>
      files.create(request.caller, form.content, form.file, signal),
    )
  }

  async function readForm(
    request: FastifyRequest,
    reply: FastifyReply,
    isTrial: boolean,
  ): Promise<CreateForm> {
    const { caller, headers } = request
    const boundary = readBoundary(request)
    const length = Number(headers['content-length'] ?? 0)
    await files.refuseEarly(caller, Math.max(0, length - formOverheadBytes))
    welcome(request, reply)
    const isBounded = headers['content-length'] !== undefined
    return readCreateForm(readMultipart(readBody(request.raw), boundary), (source, known) =>
      files.stage(caller, source, { ...known, isBounded, isTrial }),
    )
  }
}
