/** The Uploads of one caller as what `@tus/server` reads and writes for one request. */

import { limits, type Upload } from '@coffer/contract'
import { DataStore, Metadata, Upload as TusUpload } from '@tus/server'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../service/access.ts'
import { partBeyondUpload, ServiceError, uploadGone, uploadNotFound } from '../service/errors.ts'
import { toFilename } from '../service/filename.ts'
import type { StagedContent } from '../service/staging.ts'
import type { Progress, Uploads } from '../service/uploads.ts'
import { BodyStalled, ClientLeft, readBody } from './body-source.ts'
import { cutBody } from './cut-body.ts'
import { welcome } from './form-request.ts'
import { takeLine, takeString } from './json-body.ts'
import type { Checksum } from './tus-checksum.ts'
import { toPurpose } from './upload-bodies.ts'

export interface TusStoreNeeds {
  readonly uploads: Uploads
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly maxPartBytes: number
  readonly checksum: Checksum | undefined
}

export class TusStore extends DataStore {
  override extensions = [
    ...['creation', 'creation-with-upload', 'expiration', 'termination', 'checksum'],
  ]
  /** As the request left it. */
  upload: Upload | undefined
  readonly #needs: TusStoreNeeds
  readonly #caller: Caller
  #isCreated = false

  constructor(needs: TusStoreNeeds) {
    super()
    this.#needs = needs
    this.#caller = needs.request.caller
  }

  /** @throws ServiceError if there is no such Upload of a tus client, or not any more. */
  async find(id: string): Promise<Progress> {
    const progress = await this.#needs.uploads.findProgress(this.#caller, id)
    const { status } = progress.upload
    if (status === 'expired') throw uploadGone(id)
    if (status === 'cancelled') throw uploadNotFound(id)
    this.upload = progress.upload
    return progress
  }

  override async create(upload: TusUpload): Promise<TusUpload> {
    const { filename, purpose, filetype } = upload.metadata ?? {}
    const tusMetadata = Metadata.stringify(upload.metadata ?? {})
    this.upload = await this.#needs.uploads.create(this.#caller, {
      filename: toFilename(takeString(filename ?? undefined, 'filename')),
      purpose: toPurpose(takeString(purpose ?? undefined, 'purpose')),
      bytes: upload.size ?? 0,
      mimeType: takeLine(filetype ?? '', 'filetype', limits.mimeTypeLength),
      expiresAfter: undefined,
      tusMetadata: takeString(tusMetadata, 'Upload-Metadata', limits.tusMetadataLength),
    })
    this.#isCreated = true
    upload.id = this.upload.id
    await this.#finishIf(upload.size === 0, upload.id)
    return upload
  }

  /** Gives up what this request has created, unless it is a file already. */
  async cancelCreated(): Promise<void> {
    if (!this.#isCreated || this.upload?.status !== 'pending') return
    await this.#needs.uploads.cancel(this.#caller, this.upload.id)
    this.upload = undefined
  }

  override async getUpload(id: string): Promise<TusUpload> {
    const { upload, arrivedBytes, tusMetadata } = await this.find(id)
    // The server may have stopped between the last byte and the file.
    await this.#finishIf(upload.status === 'pending' && arrivedBytes === upload.bytes, id)
    const metadata = Metadata.parse(tusMetadata)
    return new TusUpload({ id, size: upload.bytes, offset: arrivedBytes, metadata })
  }

  /**
   * The body is read from the request itself: the stream that the library makes of it would copy
   * it, and could not be told to keep what came before the connection broke.
   */
  override async write(_: unknown, id: string, offset: number): Promise<number> {
    const { uploads, request, reply, maxPartBytes, checksum } = this.#needs
    if (this.upload === undefined) throw new Error('The library writes to what it did not look up.')
    const { bytes } = this.upload
    welcome(request, reply)

    let failure: unknown
    async function* arriving(): AsyncGenerator<Uint8Array> {
      let end = offset
      try {
        for await (const piece of readBody(request.raw)) {
          end += piece.length
          // However many parts it makes up, none is staged beyond what is counted as used.
          if (end > bytes) throw partBeyondUpload(bytes)
          yield piece
        }
      } catch (error) {
        // What came is stored, so that the client goes on from there; not if none of it can be checked.
        const isLost = error instanceof ClientLeft || error instanceof BodyStalled
        if (checksum !== undefined || !isLost) throw error
        failure = error
      }
    }

    let at = offset
    const add = async (content: StagedContent) => {
      await uploads.append(this.#caller, id, content, at)
      at += content.bytes
    }

    await using unchecked = new AsyncDisposableStack()
    const waiting: StagedContent[] = []
    const body = arriving()
    for await (const part of cutBody(checksum?.watch(body) ?? body, maxPartBytes)) {
      const staged = await uploads.stage(this.#caller, id, part)
      if (checksum === undefined) {
        await using content = staged
        await add(content)
      } else waiting.push(unchecked.use(staged))
    }
    checksum?.require()
    for (const content of waiting) await add(content)
    if (failure !== undefined) throw failure
    await this.#finishIf(at === bytes, id)
    return at
  }

  override async remove(id: string): Promise<void> {
    await this.#needs.uploads.cancel(this.#caller, id)
  }

  async #finishIf(isWhole: boolean, id: string): Promise<void> {
    if (!isWhole) return
    try {
      this.upload = await this.#needs.uploads.finish(this.#caller, id)
    } catch (error) {
      // A tus client cannot send other bytes in their place, and would ask for the reason for ever.
      const isRefused = error instanceof ServiceError && error.code === 'content_refused'
      if (isRefused) {
        await this.#needs.uploads.cancel(this.#caller, id)
        this.upload = undefined
      }
      throw error
    }
  }
}
