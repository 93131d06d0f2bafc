/** The operations of the Uploads API, for content that comes in parts. */

import type { UploadPurpose } from '@coffer/contract'
import { ApiClient, type RequestOptions } from './api-client.ts'
import { toRequestBody } from './form-body.ts'
import { toJsonBody } from './json-body.ts'
import {
  type ListUploadPartsResponse,
  type Open,
  readUploadModel,
  readUploadPartModel,
  readUploadPartsModel,
  type Upload,
  type UploadPart,
} from './models.ts'
import { toUploadSource, type Uploadable } from './upload-source.ts'

export interface NewUpload {
  readonly filename: string
  readonly purpose: Open<UploadPurpose>
  /** The size of the whole content; of Coffer's largest, 8 GiB. */
  readonly bytes: number
  /** By default `application/octet-stream`. */
  readonly mimeType?: string | undefined
  /** Seconds from its creation until the file is gone, from 3,600 to 2,592,000. */
  readonly expiresAfterSeconds?: number | undefined
}

export interface AddUploadPartOptions extends RequestOptions {
  /**
   * The SHA-256 of the part in hexadecimal, which the server holds against what came. Only Coffer
   * knows it; others refuse the request.
   */
  readonly sha256?: string | undefined
  /** Called as bytes are sent: how many so far. */
  readonly onProgress?: ((sent: number) => void) | undefined
}

export interface CompleteUploadOptions extends RequestOptions {
  /** The MD5 of the whole content in hexadecimal, which the server holds against what came. */
  readonly md5?: string | undefined
}

export interface ListUploadPartsOptions extends RequestOptions {
  /** Parts on a page, from 1 to 10,000; the server's default is 10,000. */
  readonly limit?: number | undefined
  /** The id of the part behind which the page begins. */
  readonly after?: string | undefined
}

export class UploadsApi {
  readonly #client: ApiClient

  constructor(client: ApiClient = new ApiClient()) {
    this.#client = client
  }

  /** Begins a file whose content comes in parts, within an hour by default. */
  async createUpload(upload: NewUpload, { signal }: RequestOptions = {}): Promise<Upload> {
    const { filename, purpose, bytes, mimeType, expiresAfterSeconds } = upload
    const body = toJsonBody({
      ...{ filename, purpose, bytes, mime_type: mimeType ?? 'application/octet-stream' },
      ...(expiresAfterSeconds !== undefined && {
        expires_after: { anchor: 'created_at', seconds: expiresAfterSeconds },
      }),
    })
    return readUploadModel(
      await this.#client.requestJson({ method: 'POST', path: '/uploads', body, signal }),
    )
  }

  /** Adds a part of at most 64 MiB. Parts may be added in any order, also at once. */
  async addUploadPart(
    uploadId: string,
    data: Uploadable,
    { sha256, onProgress, signal }: AddUploadPartOptions = {},
  ): Promise<UploadPart> {
    const body = await toRequestBody({
      fields: sha256 === undefined ? {} : { sha256 },
      fileField: 'data',
      filename: 'part',
      source: toUploadSource(data),
      onProgress,
    })
    const path = pathOf(uploadId, '/parts')
    return readUploadPartModel(
      await this.#client.requestJson({ method: 'POST', path, body, signal }),
    )
  }

  /** Makes the parts with these ids, in this order, a file: the `file` of what is resolved with. */
  async completeUpload(
    uploadId: string,
    partIds: readonly string[],
    { md5, signal }: CompleteUploadOptions = {},
  ): Promise<Upload> {
    const body = toJsonBody({ part_ids: partIds, ...(md5 !== undefined && { md5 }) })
    const path = pathOf(uploadId, '/complete')
    return readUploadModel(await this.#client.requestJson({ method: 'POST', path, body, signal }))
  }

  /** Gives up an Upload and its parts. */
  async cancelUpload(uploadId: string, { signal }: RequestOptions = {}): Promise<Upload> {
    const path = pathOf(uploadId, '/cancel')
    return readUploadModel(await this.#client.requestJson({ method: 'POST', path, signal }))
  }

  /** What is known about an Upload; an extension of Coffer. */
  async retrieveUpload(uploadId: string, { signal }: RequestOptions = {}): Promise<Upload> {
    const path = pathOf(uploadId)
    return readUploadModel(await this.#client.requestJson({ method: 'GET', path, signal }))
  }

  /** One page of the parts that have arrived, in the order in which they came; an extension. */
  async listUploadParts(
    uploadId: string,
    { limit, after, signal }: ListUploadPartsOptions = {},
  ): Promise<ListUploadPartsResponse> {
    const path = pathOf(uploadId, '/parts')
    const query = { limit, after }
    return readUploadPartsModel(
      await this.#client.requestJson({ method: 'GET', path, query, signal }),
    )
  }
}

function pathOf(uploadId: string, below = ''): string {
  // Without an id the path would be another one.
  if (uploadId === '') throw new TypeError('An Upload id is needed.')
  return `/uploads/${encodeURIComponent(uploadId)}${below}`
}
