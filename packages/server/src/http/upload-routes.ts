/** The four operations of the Uploads API, and the two that tell what has arrived. */

import {
  limits,
  Problem,
  Upload,
  UploadPart,
  UploadPartPage,
  UploadPurpose,
} from '@coffer/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Uploads } from '../service/uploads.ts'
import { readBody } from './body-source.ts'
import { formOverheadBytes, readBoundary, welcome } from './form-request.ts'
import { readPartsQuery } from './list-query.ts'
import { readMultipart } from './multipart.ts'
import { readPartForm } from './part-form.ts'
import { readCompletion, readNewUpload } from './upload-bodies.ts'
import { whileConnected } from './while-connected.ts'

const UploadId = z.object({ upload_id: z.string().describe('The id of the Upload.') })

/** For the document; the bodies are read with the vendor's words for each fault. */
const NewUploadBody = z.object({
  filename: z.string(),
  purpose: UploadPurpose,
  bytes: z.int().min(0).max(limits.uploadBytes).describe('The size of the file to be, in bytes.'),
  mime_type: z.string().max(limits.mimeTypeLength),
  expires_after: z
    .object({
      anchor: z.literal('created_at'),
      seconds: z
        .int()
        .min(limits.expiresAfterSeconds.least)
        .max(limits.expiresAfterSeconds.most)
        .describe('From the creation of the file until it expires.'),
    })
    .optional(),
})

const PartFormBody = z.object({
  data: z.file().describe('The bytes of the part.'),
  sha256: z.string().optional().describe('Of these bytes, in hexadecimal; an extension.'),
})

const CompletionBody = z.object({
  part_ids: z
    .array(z.string())
    .max(limits.uploadParts)
    .describe('The parts in the order of their bytes.'),
  md5: z.string().optional().describe('Of the whole content, in hexadecimal or Base64.'),
})

const PartsQuery = z.object({
  limit: z.int().min(limits.pageParts.least).max(limits.pageParts.most).optional(),
  after: z.string().optional().describe('The id of the part behind which the page begins.'),
})

const bearer = { security: [{ ApiKeyAuth: [] }], tags: ['Uploads'] }
const failure = { default: Problem }

export interface UploadRoutesNeeds {
  readonly uploads: Uploads
  readonly maxUploadBytes: number
}

export function addUploadRoutes(
  app: FastifyInstance,
  { uploads, maxUploadBytes }: UploadRoutesNeeds,
): void {
  app.post('/uploads', {
    schema: {
      ...bearer,
      operationId: 'createUpload',
      summary: 'Begin a file whose content comes in parts.',
      body: NewUploadBody,
      response: { 200: Upload, ...failure },
    },
    handler: async (request, reply) => {
      welcome(request, reply)
      return uploads.create(request.caller, await readNewUpload(request, maxUploadBytes))
    },
  })

  app.post('/uploads/:upload_id/parts', {
    schema: {
      ...bearer,
      operationId: 'addUploadPart',
      summary: 'Add a part.',
      params: UploadId,
      consumes: ['multipart/form-data'],
      body: PartFormBody,
      response: { 200: UploadPart, ...failure },
    },
    handler: async (request, reply) => {
      const { caller, headers } = request
      const id = idOf(request)
      const boundary = readBoundary(request)
      const length = Number(headers['content-length'] ?? 0)
      await uploads.refuseEarly(caller, id, Math.max(0, length - formOverheadBytes))
      welcome(request, reply)
      await using form = await readPartForm(
        readMultipart(readBody(request.raw), boundary),
        (source) => uploads.stage(caller, id, source),
      )
      return await uploads.addPart(caller, id, form.content, form.sha256)
    },
  })

  app.post('/uploads/:upload_id/complete', {
    schema: {
      ...bearer,
      operationId: 'completeUpload',
      summary: 'Make the parts a file.',
      params: UploadId,
      body: CompletionBody,
      response: { 200: Upload, ...failure },
    },
    handler: async (request, reply) => {
      welcome(request, reply)
      const completion = await readCompletion(request)
      return whileConnected(reply.raw, (signal) =>
        uploads.complete(request.caller, idOf(request), { ...completion, signal }),
      )
    },
  })

  app.post('/uploads/:upload_id/cancel', {
    schema: {
      ...bearer,
      operationId: 'cancelUpload',
      summary: 'Give up an Upload and its parts.',
      params: UploadId,
      response: { 200: Upload, ...failure },
    },
    handler: async (request) => uploads.cancel(request.caller, idOf(request)),
  })

  app.get('/uploads/:upload_id', {
    schema: {
      ...bearer,
      operationId: 'retrieveUpload',
      summary: 'Tell about one Upload; an extension.',
      params: UploadId,
      response: { 200: Upload, ...failure },
    },
    handler: async (request) => uploads.retrieve(request.caller, idOf(request)),
  })

  app.get('/uploads/:upload_id/parts', {
    schema: {
      ...bearer,
      operationId: 'listUploadParts',
      summary: 'List the parts that have arrived, a page at a time; an extension.',
      params: UploadId,
      querystring: PartsQuery,
      response: { 200: UploadPartPage, ...failure },
    },
    handler: async (request) =>
      uploads.listParts(request.caller, idOf(request), readPartsQuery(request.query)),
  })
}

function idOf({ params }: FastifyRequest): string {
  return UploadId.parse(params).upload_id
}
