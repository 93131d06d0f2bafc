/** The operations of the Files API. */

import type { Purpose, UploadPurpose } from '@coffer/contract'
import { ApiClient, type RequestOptions } from './api-client.ts'
import { FileContent } from './file-content.ts'
import { toRequestBody } from './form-body.ts'
import {
  type DeleteFileResponse,
  type FileCheck,
  type ListFilesResponse,
  type Open,
  type OpenAIFile,
  readCheckModel,
  readDeletedModel,
  readFileModel,
  readListModel,
} from './models.ts'
import { toUploadSource, type Uploadable } from './upload-source.ts'

export interface CreateFileOptions extends RequestOptions {
  /** The file's name; by default the content's own, or `file`. */
  readonly filename?: string | undefined
  /** Seconds from its creation until the file is gone, from 3,600 to 2,592,000. */
  readonly expiresAfterSeconds?: number | undefined
  /** Called as bytes are sent: how many so far, and of how many, where that is known. */
  readonly onProgress?: ((sent: number, bytes: number | undefined) => void) | undefined
}

export interface ListFilesOptions extends RequestOptions {
  /** Only files with this purpose. */
  readonly purpose?: Open<Purpose> | undefined
  /** Files on a page, from 1 to 10,000; the server's default is 10,000. */
  readonly limit?: number | undefined
  /** By the time of creation; the newest come first by default. */
  readonly order?: 'asc' | 'desc' | undefined
  /** The id of the file behind which the page begins. */
  readonly after?: string | undefined
}

export interface OpenFileOptions extends RequestOptions {
  /** Only the bytes from `start` to before `end`; to the last byte by default. */
  readonly range?: { readonly start: number; readonly end?: number | undefined } | undefined
  /** The ETag that the range belongs to: of other content the server then sends the whole. */
  readonly ifRange?: string | undefined
}

export class FilesApi {
  readonly #client: ApiClient

  constructor(client: ApiClient = new ApiClient()) {
    this.#client = client
  }

  /**
   * Uploads a file. Content that can be read again is sent again where that may help.
   *
   * @param purpose `fine-tune`, `assistants`, `batch`, `user_data`, `vision` or `evals`.
   * @throws BadRequestException, with `details` where the content is refused;
   *   ContentTooLargeException and the other ApiExceptions.
   */
  async createFile(
    file: Uploadable,
    purpose: Open<UploadPurpose>,
    options: CreateFileOptions = {},
  ): Promise<OpenAIFile> {
    return readFileModel(await this.#send('/files', file, purpose, options))
  }

  /**
   * Sends a file as `createFile` does, to be told what that would find wrong with it. Nothing is
   * stored, and a file with faults is no error; an extension of Coffer.
   *
   * @param purpose `fine-tune`, `assistants`, `batch`, `user_data`, `vision` or `evals`.
   * @throws NotFoundException where the server knows no checks; BadRequestException,
   *   ContentTooLargeException and the other ApiExceptions.
   */
  async checkFile(
    file: Uploadable,
    purpose: Open<UploadPurpose>,
    options: CreateFileOptions = {},
  ): Promise<FileCheck> {
    return readCheckModel(await this.#send('/files/check', file, purpose, options))
  }

  /** Deletes a file. */
  async deleteFile(fileId: string, { signal }: RequestOptions = {}): Promise<DeleteFileResponse> {
    const request = { method: 'DELETE', path: pathOf(fileId), signal } as const
    return readDeletedModel(await this.#client.requestJson(request), fileId)
  }

  /** The whole content of a file, as text. */
  async downloadFile(fileId: string, options: RequestOptions = {}): Promise<string> {
    return (await this.openFile(fileId, options)).text()
  }

  /** A file's content or a range of it, to be read as a stream, as text or as bytes. */
  async openFile(fileId: string, options: OpenFileOptions = {}): Promise<FileContent> {
    const { range, ifRange, signal } = options
    const headers: Record<string, string> = { accept: 'application/octet-stream, */*' }
    if (range !== undefined) {
      headers['range'] = `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}`
      if (ifRange !== undefined) headers['if-range'] = ifRange
    }
    const path = `${pathOf(fileId)}/content`
    return new FileContent(await this.#client.request({ method: 'GET', path, headers, signal }))
  }

  /** One page of files. */
  async listFiles(options: ListFilesOptions = {}): Promise<ListFilesResponse> {
    const { purpose, limit, order, after, signal } = options
    const query = { purpose, limit, order, after }
    return readListModel(
      await this.#client.requestJson({ method: 'GET', path: '/files', query, signal }),
    )
  }

  /** All files, page after page; files may be deleted meanwhile. */
  async *iterateFiles(options: ListFilesOptions = {}): AsyncGenerator<OpenAIFile> {
    let { after } = options
    let page = await this.listFiles(options)
    for (;;) {
      const last = page.data.at(-1)
      // Servers that do not page leave `has_more` out, and would send the same again.
      if (page.has_more !== true || last === undefined || last.id === after) break
      yield* page.data.slice(0, -1)
      after = last.id
      // Asked for while its cursor is still there: whoever gets a file may delete it, and not every
      // server knows a deleted file as a cursor.
      page = await this.listFiles({ ...options, after })
      yield last
    }
    yield* page.data
  }

  /** What is known about a file. */
  async retrieveFile(fileId: string, { signal }: RequestOptions = {}): Promise<OpenAIFile> {
    return readFileModel(
      await this.#client.requestJson({ method: 'GET', path: pathOf(fileId), signal }),
    )
  }

  /** Sends a form with a file. */
  async #send(
    path: string,
    file: Uploadable,
    purpose: string,
    options: CreateFileOptions,
  ): Promise<unknown> {
    const source = toUploadSource(file)
    const { expiresAfterSeconds, onProgress, signal } = options
    const fields: Record<string, string> = { purpose }
    if (expiresAfterSeconds !== undefined) {
      fields['expires_after[anchor]'] = 'created_at'
      fields['expires_after[seconds]'] = String(expiresAfterSeconds)
    }
    const body = await toRequestBody({
      fields,
      fileField: 'file',
      filename: options.filename ?? source.name ?? 'file',
      source,
      onProgress: onProgress && ((sent) => onProgress(sent, source.bytes)),
    })
    return this.#client.requestJson({ method: 'POST', path, body, signal })
  }
}

function pathOf(fileId: string): string {
  // Without an id the path would be that of the list.
  if (fileId === '') throw new TypeError('A file id is needed.')
  return `/files/${encodeURIComponent(fileId)}`
}
